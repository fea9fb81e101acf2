package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// listen listens on the network of a shape.
func listen(at place) (net.Listener, error) {
	switch at.Network {
	case "unix", "tcp":
		return net.Listen(at.Network, freshAddress(at))
	case "tls":
		cert, err := selfSigned()
		if err != nil {
			return nil, err
		}
		return tls.Listen("tcp", freshAddress(at), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	}
	return nil, fmt.Errorf("network %q is not known, there are: unix, tcp, tls", at.Network)
}

// freshAddress is one at which nobody listens.
func freshAddress(at place) string {
	if at.Network == "unix" {
		return filepath.Join(at.Dir, rand.Text())
	}
	return "127.0.0.1:0"
}

// dial connects to what listen listens on.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "tls" {
		// Whom we talk to is not in question here, only what the records cost.
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
		return d.DialContext(ctx, "tcp", address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// selfSigned returns a certificate that nobody vouches for.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
