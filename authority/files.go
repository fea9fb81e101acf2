package authority

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Files are where credentials are.
type Files struct {
	CA   string // certificates of the fleet's authority
	Cert string // the own certificate, and behind it that of the host's issuer if it is from there
	Key  string // of the own certificate; nobody else may be able to read it
}

// The names of files in the directory of an authority and of a host.
const (
	caFile        = "ca.pem"
	caKeyFile     = "ca-key.pem"
	certFile      = "cert.pem"
	keyFile       = "key.pem"
	issuerFile    = "issuer.pem"
	issuerKeyFile = "issuer-key.pem"
)

// HostFiles returns where Host.Save puts the credentials of a host.
func HostFiles(dir string) Files {
	return Files{CA: filepath.Join(dir, caFile), Cert: filepath.Join(dir, certFile), Key: filepath.Join(dir, keyFile)}
}

// IssuerFiles returns where Host.Save puts what the issuer of a host needs.
func IssuerFiles(dir string) Files {
	return Files{CA: filepath.Join(dir, caFile), Cert: filepath.Join(dir, issuerFile), Key: filepath.Join(dir, issuerKeyFile)}
}

// Names returns the files in the order in which they are read.
func (f Files) Names() []string { return []string{f.CA, f.Cert, f.Key} }

// Credentials reads credentials.
func (f Files) Credentials() (Credentials, error) {
	trust, cert, key, err := f.read()
	if err != nil {
		return Credentials{}, err
	}
	c, err := NewCredentials(cert, key, trust)
	if err != nil {
		return Credentials{}, fmt.Errorf("%s with %s and %s: %w", f.Cert, f.Key, f.CA, err)
	}
	return c, nil
}

// Issuer reads the issuer of a host.
func (f Files) Issuer() (*Issuer, error) {
	trust, cert, key, err := f.read()
	if err != nil {
		return nil, err
	}
	i, err := NewIssuer(cert, key, trust)
	if err != nil {
		return nil, fmt.Errorf("%s with %s and %s: %w", f.Cert, f.Key, f.CA, err)
	}
	return i, nil
}

func (f Files) read() (trust, cert, key []byte, err error) {
	if trust, err = os.ReadFile(f.CA); err != nil {
		return nil, nil, nil, err
	}
	if cert, err = os.ReadFile(f.Cert); err != nil {
		return nil, nil, nil, err
	}
	key, err = readKey(f.Key)
	return trust, cert, key, err
}

// othersKey are the permissions that a private key must not have. A group may
// read it, since that is how some systems mount secrets.
const othersKey = 0o037

func readKey(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if m := info.Mode().Perm(); m&othersKey != 0 {
		return nil, fmt.Errorf("private key %s is open to others (%v): chmod 600 it", name, m)
	}
	return io.ReadAll(io.LimitReader(f, maxPEM+1))
}

// Open reads the authority that Save put into dir.
func Open(dir string) (*Authority, error) {
	if err := whole(dir); err != nil {
		return nil, err
	}
	cert := filepath.Join(dir, caFile)
	certs, err := os.ReadFile(cert)
	if err != nil {
		return nil, err
	}
	key, err := readKey(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, err
	}
	a, err := Parse(certs, key)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", cert, caKeyFile, err)
	}
	return a, nil
}

// whole returns an error if one of an authority's two files is in dir, and the
// other is not.
func whole(dir string) error {
	cert, key := filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)
	switch hasCert, hasKey := isThere(cert), isThere(key); {
	case hasKey && !hasCert:
		return fmt.Errorf("there is %s, but not %s beside it: put that back, of which each host has a copy, or choose another directory", key, caFile)
	case hasCert && !hasKey:
		return fmt.Errorf("there is %s, but not %s beside it: put the key back, or choose another directory", cert, caKeyFile)
	}
	return nil
}

func isThere(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// Save puts the authority into dir, as ca.pem and ca-key.pem, and makes dir if
// it is not there. It never overwrites: if there is one already, or a part of
// one, the error wraps ErrExists.
func (a *Authority) Save(dir string) error {
	key, err := appendKey(nil, a.key)
	if err != nil {
		return err
	}
	if err := secretDir(dir); err != nil {
		return err
	}
	if err := vacant(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	if err := place(dir, os.Link, file{caKeyFile, key, 0o600}); err != nil {
		return exists(err)
	}
	err = place(dir, os.Link, file{caFile, a.trust.PEM(), 0o644})
	if err != nil {
		err = errors.Join(exists(err), os.Remove(filepath.Join(dir, caKeyFile)))
	}
	return err
}

// exists is about one that was made since we looked.
func exists(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	return err
}

// vacant returns an error if there is an authority in dir, or a part of one.
func vacant(dir string) error {
	err := whole(dir)
	if key := filepath.Join(dir, caKeyFile); err == nil && isThere(key) {
		err = fmt.Errorf("there are %s and %s: issue from them, or choose another directory", filepath.Join(dir, caFile), key)
	}
	return err
}

// Save puts what a host needs into dir, which it makes if it is not there:
// cert.pem and key.pem, issuer.pem and issuer-key.pem, and ca.pem. What is there
// is replaced, each file at once: who reads them meanwhile sees two that do not
// belong together, and has to look again. Nothing is replaced before all of it
// is on the disk.
//
// It refuses the directory of an authority, whose key no host must have.
func (h Host) Save(dir string) error {
	key, err := appendKey(nil, h.Credentials.Key)
	if err != nil {
		return err
	}
	issuerKey, err := appendKey(nil, h.Issuer.key)
	if err != nil {
		return err
	}
	if err := secretDir(dir); err != nil {
		return err
	}
	if key := filepath.Join(dir, caKeyFile); isThere(key) {
		return fmt.Errorf("directory %s is that of an authority (%s), whose key no host must have: choose another directory", dir, key)
	}
	return place(dir, os.Rename,
		file{caFile, h.Credentials.Trust.PEM(), 0o644},
		file{issuerKeyFile, issuerKey, 0o600},
		file{issuerFile, appendCertificates(nil, certificates(h.Issuer.cert)), 0o644},
		file{keyFile, key, 0o600},
		file{certFile, appendCertificates(nil, h.Credentials.Chain), 0o644},
	)
}

// secretDir makes a directory for private keys, or checks one.
func secretDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if m := info.Mode().Perm(); m&0o077 != 0 {
		return fmt.Errorf("directory %s is open to others (%v): chmod 700 it, or choose another one", dir, m)
	}
	return nil
}

// file is one that is to be in a directory.
type file struct {
	name string
	data []byte
	mode fs.FileMode
}

// place puts files into dir, each complete or not at all. It writes all of them
// under other names before the first gets its own, and stops at the first error.
// move gives a file its name: os.Rename replaces what has it, os.Link does not.
func place(dir string, move func(from, to string) error, files ...file) (err error) {
	var written []string
	defer func() {
		for _, name := range written {
			if e := os.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) { // a rename has taken it away
				err = errors.Join(err, e)
			}
		}
	}()
	for _, f := range files {
		temp := filepath.Join(dir, "."+f.name+"."+rand.Text())
		if err := writeNew(temp, f.data, f.mode); err != nil {
			return err
		}
		written = append(written, temp)
	}
	for i, f := range files {
		if err := move(written[i], filepath.Join(dir, f.name)); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		os.Remove(name)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func certificates(all ...*x509.Certificate) []*x509.Certificate { return all }
