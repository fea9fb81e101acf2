#include "textflag.h"

// The hop is the first program of a child; see hop_linux.go. It finds on its
// stack argc, the working directory ("" stays), the path of the program, the
// arguments of the program, NULL, and the environment.
TEXT hop<>(SB), NOSPLIT|NOFRAME, $0
	MOVD RSP, R19

	// fcntl(4, F_SETFD, FD_CLOEXEC)
	MOVD $4, R0
	MOVD $2, R1
	MOVD $1, R2
	MOVD $25, R8
	SVC

	// close(5)
	MOVD $5, R0
	MOVD $57, R8
	SVC

	// fcntl(6, F_SETFD, FD_CLOEXEC), which may not be there
	MOVD $6, R0
	MOVD $2, R1
	MOVD $1, R2
	MOVD $25, R8
	SVC

	// chdir(dir)
	MOVD 8(R19), R0
	MOVBU (R0), R1
	CBZ  R1, run
	MOVD $49, R8
	SVC
	CBNZ R0, failed

run: // execve(path, argv, environ)
	MOVD 0(R19), R3
	MOVD 16(R19), R0
	ADD  $24, R19, R1
	ADD  $16, R19, R2
	ADD  R3<<3, R2, R2
	MOVD $221, R8
	SVC

failed: // write(4, &result, 8)
	MOVD R0, 0(R19)
	MOVD $4, R0
	MOVD R19, R1
	MOVD $8, R2
	MOVD $64, R8
	SVC

	// exit_group(127)
	MOVD $127, R0
	MOVD $94, R8
	SVC
	UNDEF

// func hopStart() unsafe.Pointer
TEXT ·hopStart(SB), NOSPLIT, $0-8
	MOVD $hop<>(SB), R0
	MOVD R0, ret+0(FP)
	RET
