#include "textflag.h"

// The hop is the first program of a child; see hop_linux.go. It finds on its
// stack argc, the working directory ("" stays), the path of the program, the
// arguments of the program, NULL, and the environment.
TEXT hop<>(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, BX

	// fcntl(4, F_SETFD, FD_CLOEXEC)
	MOVL $4, DI
	MOVL $2, SI
	MOVL $1, DX
	MOVL $72, AX
	SYSCALL

	// close(5)
	MOVL $5, DI
	MOVL $3, AX
	SYSCALL

	// fcntl(6, F_SETFD, FD_CLOEXEC), which may not be there
	MOVL $6, DI
	MOVL $2, SI
	MOVL $1, DX
	MOVL $72, AX
	SYSCALL

	// chdir(dir)
	MOVQ 8(BX), DI
	CMPB (DI), $0
	JEQ  run
	MOVL $80, AX
	SYSCALL
	TESTQ AX, AX
	JNE  failed

run: // execve(path, argv, environ)
	MOVQ 0(BX), AX
	MOVQ 16(BX), DI
	LEAQ 24(BX), SI
	LEAQ 16(BX)(AX*8), DX
	MOVL $59, AX
	SYSCALL

failed: // write(4, &result, 8)
	MOVQ AX, 0(BX)
	MOVL $4, DI
	MOVQ BX, SI
	MOVL $8, DX
	MOVL $1, AX
	SYSCALL

	// exit_group(127)
	MOVL $127, DI
	MOVL $231, AX
	SYSCALL
	UNDEF

// func hopStart() unsafe.Pointer
TEXT ·hopStart(SB), NOSPLIT, $0-8
	LEAQ hop<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
