package mtls

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/authority"
)

// keys turns the credentials of the moment into what crypto/tls wants.
type keys struct {
	ask   func(ctx context.Context) (authority.Credentials, error)
	file  string // where the certificate is from; empty if from no file
	clock func() time.Time
	log   *slog.Logger

	mu     sync.Mutex // guards the following
	made   *configs
	warned time.Time // when we last warned that made expires
}

// configs are made once for the same credentials.
type configs struct {
	creds          authority.Credentials
	client, server *tls.Config
}

// warnEvery is how often we repeat that credentials expire soon.
const warnEvery = time.Hour

// now returns what is to be used for a handshake that begins now. Credentials
// that are not valid are an error: the peer would refuse them, and could not
// tell us why. ctx bounds finding them.
func (k *keys) now(ctx context.Context) (*configs, error) {
	c, err := k.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("mtls: our own credentials: %w", err)
	}
	at := k.clock()
	if err := c.Check(at); err != nil {
		return nil, fmt.Errorf("mtls: our own credentials%s: %w", k.from(), err)
	}
	made, warn := k.configs(c, at)
	if warn {
		_, until := c.Valid()
		k.log.Warn("our certificate expires soon", "name", c.Name.String(), "file", k.file, "expires", until.UTC(), "left", until.Sub(at).Round(time.Second))
	}
	return made, nil
}

func (k *keys) from() string {
	if k.file == "" {
		return ""
	}
	return ", from " + k.file
}

// configs returns what is made of c, and whether to warn of its end.
func (k *keys) configs(c authority.Credentials, at time.Time) (made *configs, warn bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.made == nil || !k.made.creds.Equal(c) {
		k.made, k.warned = newConfigs(c, k.clock), time.Time{}
	}
	if warn = late(c, at) && at.Sub(k.warned) >= warnEvery; warn {
		k.warned = at
	}
	return k.made, warn
}

// late reports whether less than a third of the life of c is left.
func late(c authority.Credentials, at time.Time) bool {
	from, until := c.Valid()
	return until.Sub(at) < until.Sub(from)/3
}

// serverConfig is what a listener begins with: it takes up the credentials of
// the moment when somebody connects.
func (k *keys) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			now, err := k.now(hello.Context())
			if err != nil {
				return nil, err
			}
			return now.server, nil
		},
	}
}

// newConfigs leaves the peer's certificate to our own check, on both sides:
// that of crypto/tls wants a DNS name of a server, and would tell whoever
// connects the names of the authorities that we trust.
func newConfigs(c authority.Credentials, clock func() time.Time) *configs {
	own := tls.Certificate{PrivateKey: c.Key, Leaf: c.Chain[0]}
	for _, cert := range c.Chain {
		own.Certificate = append(own.Certificate, cert.Raw)
	}
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13,
		Certificates:           []tls.Certificate{own},
		VerifyConnection:       func(s tls.ConnectionState) error { return verify(c.Trust, s, clock()) },
		SessionTicketsDisabled: true,

		// Messages come in batches: many small records would cost a system call each.
		DynamicRecordSizingDisabled: true,
	}
	client, server := base.Clone(), base
	client.InsecureSkipVerify = true // verify does it
	server.ClientAuth = tls.RequireAnyClientCert
	return &configs{c, client, server}
}

func verify(trust *authority.Trust, s tls.ConnectionState, at time.Time) error {
	_, err := trust.Verify(s.PeerCertificates, at)
	return err
}
