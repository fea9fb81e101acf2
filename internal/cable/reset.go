package cable

import "encoding/binary"

// resets returns, for a packet of a TCP connection that is up, the packets with
// which each side would tell the other that it has no such connection: both
// kernels believe them, if the packet is the next one that is expected. ok is
// false for other packets.
func resets(packet []byte) (toSender, toReceiver []byte, ok bool) {
	flags := tcpFlags(packet)
	ip := packet
	if flags&(flagSYN|flagFIN|flagRST|flagACK) != flagACK || len(ip) < ipv4Header+tcpHeader {
		return nil, nil, false
	}
	tcp := ip[int(ip[0]&15)*4:]
	if len(tcp) < tcpHeader {
		return nil, nil, false
	}
	from, to := [4]byte(ip[12:]), [4]byte(ip[16:])
	fromPort, toPort := [2]byte(tcp), [2]byte(tcp[2:])
	seq, ack := [4]byte(tcp[4:]), [4]byte(tcp[8:])
	return reset(to, from, toPort, fromPort, ack), reset(from, to, fromPort, toPort, seq), true
}

const tcpHeader = 20 // the smallest

// reset returns a TCP packet over IPv4 that ends a connection.
func reset(from, to [4]byte, fromPort, toPort [2]byte, seq [4]byte) []byte {
	b := make([]byte, ipv4Header+tcpHeader)
	ip, tcp := b[:ipv4Header], b[ipv4Header:]
	copy(tcp, fromPort[:])
	copy(tcp[2:], toPort[:])
	copy(tcp[4:], seq[:])
	tcp[12], tcp[13] = tcpHeader/4<<4, flagRST
	// TCP's checksum covers a part of the header of IP, in another order: here
	// that is written where it belongs one field after the other.
	copy(ip[12:], from[:])
	copy(ip[16:], to[:])
	ip[9] = protocolTCP
	binary.BigEndian.PutUint16(ip[2:], tcpHeader)
	binary.BigEndian.PutUint16(tcp[16:], checksum(b))
	ip[0], ip[8] = 4<<4|ipv4Header/4, 64
	binary.BigEndian.PutUint16(ip[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return b
}

// checksum is the checksum of the Internet, of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
