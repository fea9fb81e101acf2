package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY" // PKCS #8
)

// maxPEM is the size of what is parsed: some certificates have less than 1 KiB.
const maxPEM = 64 << 10

// block returns the next block of b, or nil if there is none. Text between
// blocks is left out; a block that is cut short is an error.
func block(b []byte) (block *pem.Block, rest []byte, err error) {
	if len(b) > maxPEM {
		return nil, nil, fmt.Errorf("%d bytes, certificates and keys have at most %d", len(b), maxPEM)
	}
	block, rest = pem.Decode(b)
	if block == nil && bytes.Contains(rest, []byte("-----BEGIN")) {
		return nil, nil, errors.New("a block is cut short or not PEM; is the file complete?")
	}
	return block, rest, nil
}

// parseCertificates reads one certificate or more, and nothing else.
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		p, rest, err := block(b)
		if err != nil {
			return nil, err
		}
		if p == nil {
			break
		}
		if p.Type != blockCertificate {
			return nil, fmt.Errorf("it has a block %q, want only %q", p.Type, blockCertificate)
		}
		c, err := x509.ParseCertificate(p.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
		b = rest
	}
	if len(all) == 0 {
		return nil, errors.New("there is no certificate in PEM")
	}
	return all, nil
}

func appendCertificates(b []byte, all []*x509.Certificate) []byte {
	for _, c := range all {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: c.Raw})...)
	}
	return b
}

// parseKey reads a private key. Its errors never quote it.
func parseKey(b []byte) (crypto.Signer, error) {
	p, _, err := block(b)
	if err != nil {
		return nil, err
	}
	if p == nil || p.Type != blockKey {
		return nil, fmt.Errorf("there is no block %q in PEM", blockKey)
	}
	key, err := x509.ParsePKCS8PrivateKey(p.Bytes)
	if err != nil {
		return nil, errors.New("the private key is not in PKCS #8")
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
		return nil, fmt.Errorf("the private key is of %s, want Ed25519 or P-256", key.Curve.Params().Name)
	}
	return nil, fmt.Errorf("the private key is a %T, want Ed25519 or P-256", key)
}

func appendKey(b []byte, key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(b, pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der})...), nil
}

// belongs checks that key is that of c.
func belongs(c *x509.Certificate, key crypto.Signer) error {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(c.PublicKey) {
		return errors.New("the private key is not that of the certificate")
	}
	return nil
}
