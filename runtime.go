package hyperactor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/localproc"
	"github.com/hyperactor/hyperactor/host/osproc"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/floor"
	"github.com/hyperactor/hyperactor/launch"
)

// Runtime is a program's host with everything that it stands on. All methods
// may be called concurrently. Close ends it.
type Runtime struct {
	cfg      Config
	mark     string
	dir      string // private, for sockets
	host     *host.Host
	local    *actor.Proc
	gateway  *gateway.Gateway
	launcher launch.Launcher
	logs     *logs
	floor    floor.Floor
	close    func() error
}

// Start starts a host in this program, for those that do not use Main. ctx
// bounds the start, not the Runtime, which lives until Close.
func Start(ctx context.Context, cfg Config) (*Runtime, error) {
	cfg = cfg.withDefaults()
	rt := &Runtime{cfg: cfg, mark: rand.Text()}
	rt.close = sync.OnceValue(rt.shutdown)
	if err := rt.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start host: %w", err), rt.free())
	}
	return rt, nil
}

func (rt *Runtime) open(ctx context.Context) (err error) {
	if rt.cfg.Identity != nil {
		if err := rt.cfg.Identity.Check(); err != nil {
			return fmt.Errorf("Config.Identity: %w", err)
		}
	}
	if rt.dir, err = privateDir(); err != nil {
		return err
	}
	if rt.launcher, err = newLauncher(rt.cfg, rt.mark, rt.dir); err != nil {
		return err
	}
	if rt.logs, err = openLogs(rt.cfg); err != nil {
		return err
	}
	name := cmp.Or(rt.cfg.Host, defaultHost())
	service, err := id.NewProc(name, "service")
	if err != nil {
		return err
	}
	local, err := id.NewProc(name, "local")
	if err != nil {
		return err
	}
	if err := checkSelf(ctx, rt.cfg.Transports, service); err != nil {
		return err
	}
	token := []byte(cmp.Or(rt.cfg.Token, Token(rand.Text())))
	gw := gateway.New(gateway.Config{
		Self: service, Token: token, Causes: host.Causes{}, Log: rt.cfg.Log,
		Transports: transports(rt.cfg), Timing: rt.cfg.Timing,
	})
	parts := host.Config{Name: name, Gateway: gw, Logs: rt.logs.reader(), Log: rt.cfg.Log, OnGiveUp: rt.cfg.OnGiveUp}
	if err := rt.listen(ctx, &parts); err != nil {
		return errors.Join(err, gw.Close(ctx))
	}
	if err := rt.procs(&parts, service, local); err != nil {
		return errors.Join(err, gw.Close(ctx))
	}
	if parts.Manager = rt.manager(parts, token); parts.Manager == nil {
		err := errors.New("Config.Manager returned no manager")
		return errors.Join(err, parts.Local.Stop(ctx, rt.cfg.Grace), parts.Service.Stop(ctx, rt.cfg.Grace), gw.Close(ctx))
	}
	rt.host, rt.local, rt.gateway = host.New(parts), parts.Local, gw
	rt.floor.Start()
	return nil
}

// transports returns those of the system, and what cfg puts beside or in front
// of them.
func transports(cfg Config) channel.Transports {
	all := channel.System(channel.SystemConfig{Insecure: cfg.Insecure})
	maps.Copy(all, cfg.Transports)
	return all
}

// checkSelf asks the transports that can tell whether peers will believe that we
// are p.
func checkSelf(ctx context.Context, all channel.Transports, p id.Proc) error {
	for name, t := range all {
		c, ok := t.(interface {
			CheckSelf(ctx context.Context, p id.Proc) error
		})
		if !ok {
			continue
		}
		if err := c.CheckSelf(ctx, p); err != nil {
			return fmt.Errorf("Config.Host is %q, for Config.Transports[%q]: %w", p.Host, name, err)
		}
	}
	return nil
}

// longestDir is how long the directory for sockets may be, so that the path of
// each socket in it is one: see the limit of package channel.
const longestDir = 64

// privateDir makes a directory for sockets that only this user can enter: in
// memory if possible, where making and removing one costs a tenth of what it
// costs on a disk, otherwise where temporary files go.
func privateDir() (dir string, err error) {
	for _, parent := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		if !filepath.IsAbs(parent) || len(parent) > longestDir {
			continue
		}
		if dir, err = os.MkdirTemp(parent, "hyper-"); err == nil { // 0700
			return dir, nil
		}
	}
	return os.MkdirTemp("", "hyper-")
}

// listen opens the back address, and the front if there is to be one.
func (rt *Runtime) listen(ctx context.Context, parts *host.Config) (err error) {
	if parts.Back, err = parts.Gateway.Listen(ctx, channel.Addr("unix:"+filepath.Join(rt.dir, "host"))); err != nil {
		return err
	}
	parts.Front = parts.Back
	if rt.cfg.Front != "" {
		parts.Front, err = parts.Gateway.Listen(ctx, rt.cfg.Front)
	}
	return err
}

// procs starts the service proc and the program's own.
func (rt *Runtime) procs(parts *host.Config, service, local id.Proc) (err error) {
	parts.Service, err = actor.NewProc(actor.Config{ID: service, Gateway: parts.Gateway, Log: rt.cfg.Log})
	if err != nil {
		return err
	}
	parts.Local, err = actor.NewProc(actor.Config{
		ID: local, Types: rt.cfg.Types, Gateway: parts.Gateway, OnFailure: rt.cfg.OnFailure, Log: rt.cfg.Log,
	})
	if err != nil {
		return errors.Join(err, parts.Service.Stop(context.Background(), rt.cfg.Grace))
	}
	return nil
}

func (rt *Runtime) manager(parts host.Config, token []byte) host.ProcManager {
	if rt.cfg.Manager != nil {
		return rt.cfg.Manager(Parts{
			Host: parts.Name, Service: parts.Service, Gateway: parts.Gateway, Launcher: rt.launcher,
			Mark: rt.mark, Streams: rt.logs.streams(), Log: rt.cfg.Log,
		})
	}
	if rt.cfg.Local {
		return localproc.New(localproc.Config{
			Host: parts.Name, Service: parts.Service, Gateway: parts.Gateway, Types: rt.cfg.Types, Log: rt.cfg.Log,
		})
	}
	return osproc.New(osproc.Config{
		Host: parts.Name, Service: parts.Service, Gateway: parts.Gateway, Launcher: rt.launcher, Back: parts.Back,
		Dir: rt.dir, Token: token, Env: rt.cfg.Env, Mark: rt.mark, Issue: issue(rt.cfg),
		Streams: rt.logs.streams(), Output: rt.cfg.Output, Log: rt.cfg.Log,
	})
}

// defaultHost is the machine's name and something random, so that two programs
// on one machine are two hosts.
func defaultHost() string {
	name, err := os.Hostname()
	if err != nil {
		name = "host"
	}
	name, _, _ = strings.Cut(name, ".")
	if id.CheckName(name) != nil {
		name = "host"
	}
	return fmt.Sprintf("%s-%s", name[:min(len(name), 32)], strings.ToLower(rand.Text()[:8]))
}

// Host returns the host, which spawns procs.
func (rt *Runtime) Host() *host.Host { return rt.host }

// Context returns a ctx like parent whose calls are made from the program's
// own proc, and whose stops are in the name of "main".
func (rt *Runtime) Context(parent context.Context) context.Context {
	return rt.local.Context(host.As(parent, "main"))
}

// Proc returns the program's own proc.
func (rt *Runtime) Proc() *actor.Proc { return rt.local }

// Attach joins the host that listens at addr, its Config.Front, as a full member
// (MS-14): procs there call actors in ours and the other way round, whether or
// not anybody can dial this machine. Without certificates both programs need
// the same Config.Token.
//
// It returns the host's own proc, which says who the host is and can be watched;
// it has no actors to call. Whom to call there no one looks up: a ref is plain
// text (Ref.MarshalText) that the other program prints, stores or is asked for,
// and an actor that is called can send more of them, and ports, in messages. See
// examples/attach.
//
// ctx bounds the call. The membership lasts until Close: a connection that
// breaks is made again, and meanwhile messages wait; see package gateway.
func (rt *Runtime) Attach(ctx context.Context, addr channel.Addr) (id.Proc, error) {
	return rt.gateway.Attach(ctx, addr)
}

// Sessions returns how the sessions with other processes are doing.
func (rt *Runtime) Sessions() []channel.Status { return rt.gateway.Sessions() }

// Descendants returns the living processes that descend from this Runtime,
// wherever they have wandered: what is left when it should be nothing. It does
// not see zombies; launch.Children does. On systems other than linux the error
// is errors.ErrUnsupported.
func (rt *Runtime) Descendants() ([]int, error) { return launch.Census(host.Marker(rt.mark)) }

// Close stops all procs within Config.Grace, then the host, and frees what the
// Runtime holds. A second caller waits for the same end.
func (rt *Runtime) Close() error { return rt.close() }

func (rt *Runtime) shutdown() error {
	sum, err := rt.host.Shutdown(host.As(context.Background(), "main"), rt.cfg.Grace, "the program ends")
	return errors.Join(err, sum.Err(), rt.free())
}

// free frees what the Runtime holds beside its host.
func (rt *Runtime) free() error {
	rt.floor.Stop()
	var err error
	if rt.launcher != nil {
		err = rt.launcher.Close()
	}
	err = errors.Join(err, rt.logs.close())
	if rt.dir != "" {
		err = errors.Join(err, os.RemoveAll(rt.dir))
	}
	return err
}
