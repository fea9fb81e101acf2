// Package httpprobe asks over HTTP whether a command works. It is apart from
// package probe because it links net/http, which no child process needs.
package httpprobe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hyperactor/hyperactor/host/probe"
)

// Check is a probe.Check that GETs a URL: a status of 2xx or 3xx is good. It
// follows no redirect, since a server that sends one works; it uses no proxy,
// and a connection of its own for each try, so that it sees whether new ones
// are accepted. Its methods may be called concurrently.
type Check struct {
	url       *url.URL
	text      string // the URL as it was given, without a password
	transport *http.Transport
}

// Config says what is asked. URL is needed.
type Config struct {
	// URL is http://HOST, https://HOST or unix:/SOCKET, which means HTTP over a
	// unix socket and may go on with a colon and the path to GET, as in
	// "unix:/run/app.sock:/healthz". A socket "@NAME" is an abstract one.
	URL string

	TLS *tls.Config // for https; if nil, certificates have to be good for the roots of the system
}

// New returns a Check. It holds nothing between tries and need not be closed.
func New(cfg Config) (*Check, error) {
	socket, target, err := split(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("probe http=%s: %w", cfg.URL, err)
	}
	u, err := parse(target)
	if err != nil {
		return nil, fmt.Errorf("probe http: %w", err)
	}
	c := &Check{url: u, text: cfg.URL, transport: &http.Transport{
		TLSClientConfig: cfg.TLS.Clone(), DisableKeepAlives: true, DisableCompression: true,
	}}
	if socket == "" {
		c.text = u.Redacted()
		return c, nil
	}
	c.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return c, nil
}

// split returns the unix socket to go through, "" if there is none, and the
// URL to ask for.
func split(text string) (socket, target string, err error) {
	rest, ok := strings.CutPrefix(text, "unix:")
	if !ok {
		return "", text, nil
	}
	if strings.HasPrefix(rest, "///") {
		rest = rest[2:]
	}
	socket, path, given := strings.Cut(rest, ":")
	if !given {
		path = "/"
	}
	if !strings.HasPrefix(path, "/") || len(socket) < 2 || socket[0] != '/' && socket[0] != '@' {
		return "", "", errors.New("write unix:/SOCKET or unix:/SOCKET:/PATH")
	}
	return socket, "http://localhost" + path, nil
}

func parse(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is no URL to ask; write http://HOST:PORT/PATH, https://HOST/PATH or unix:/SOCKET:/PATH", u.Redacted())
	}
	return u, nil
}

// Check asks once; see probe.Check. The error has the status and the first
// line of the answer.
func (c *Check) Check(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "hyperactor-probe")
	if u := c.url.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return nil
	}
	return fmt.Errorf("status %s%s", resp.Status, firstLine(resp.Body))
}

func (c *Check) String() string { return probe.Spec{Kind: probe.KindHTTP, Arg: c.text}.String() }

// firstLine returns what a server says about its status, as far as it is short.
func firstLine(body io.Reader) string {
	const most = 200
	lines := bufio.NewScanner(io.LimitReader(body, most))
	if !lines.Scan() || lines.Text() == "" {
		return ""
	}
	return fmt.Sprintf(": %q", lines.Text())
}
