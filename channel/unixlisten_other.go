//go:build !linux

package channel

import "net"

func listenUnix(path string) (net.Listener, error) { return net.Listen("unix", path) }
