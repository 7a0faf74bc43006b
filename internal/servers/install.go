package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// installVariable of the environment asks for servers to be installed.
const installVariable = "SESSION_TEST_INSTALL"

// installWait is how long to wait for another process that installs.
const installWait = 10 * time.Minute

// oneInstall is held while packages are installed: an interrupt waits for it, for
// what was changed on the machine has to be put back.
var oneInstall sync.Mutex

func waitInstalled() {
	oneInstall.Lock()
	defer oneInstall.Unlock()
}

// Missing returns the packages of Debian that Install would install for the
// kinds, and nothing for kinds that are installed or that the environment names a
// server of.
func Missing(kinds ...Kind) []string { return packages(here.missing(kinds)) }

// Install installs what is missing of the kinds, and says so to out before it
// does. It needs root and apt-get, waits for other processes that install, keeps
// the servers from starting now and at boot, and leaves no cluster of PostgreSQL.
// Its error has the output of apt-get. Once packages are being unpacked it goes
// on to the end, whatever ctx does: an interrupted dpkg leaves a broken machine.
func Install(ctx context.Context, out io.Writer, kinds ...Kind) error {
	return debian(out).install(ctx, func() []product { return here.missing(kinds) })
}

func (h *host) missing(kinds []Kind) []product {
	var found []product
	for _, kind := range kinds {
		p := productOf(kind)
		if p.variable != "" && os.Getenv(p.variable) != "" {
			continue
		}
		if _, ok := p.locate(h.finder()); !ok {
			found = append(found, p)
		}
	}
	return found
}

func packages(of []product) []string {
	var all []string
	for _, p := range of {
		all = append(all, p.packages...)
	}
	return all
}

// obtain finds the programs of a server, and installs them if that is wanted.
func (h *host) obtain(p product) (engine, error) {
	wanted := os.Getenv(installVariable) == "1"
	if !supported {
		return nil, &missingError{product: p, cause: errors.New("servers are started on Linux and macOS only")}
	}
	if p.build != nil {
		e, err := p.build()
		if err != nil {
			return nil, &missingError{product: p, cause: err}
		}
		return e, nil
	}
	if e, ok := p.locate(h.finder()); ok {
		return e, nil
	}
	if !wanted {
		return nil, &missingError{product: p}
	}
	install := h.install
	if install == nil {
		install = debian(os.Stderr).install
	}
	err := install(context.Background(), func() []product {
		if _, ok := p.locate(h.finder()); ok {
			return nil
		}
		return []product{p}
	})
	if err != nil {
		return nil, &missingError{product: p, wanted: true, cause: err}
	}
	if e, ok := p.locate(h.finder()); ok {
		return e, nil
	}
	return nil, &missingError{product: p, wanted: true, cause: errors.New("its programs are not where they were looked for")}
}

func (h *host) finder() places {
	if h.places != nil {
		return *h.places
	}
	return usual()
}

// installer installs packages of Debian.
type installer struct {
	out      io.Writer
	root     bool
	apt      string // apt-get
	services string // update-rc.d
	scripts  string // folder of the services
	lock     string // a folder that is there on every Debian
	policy   string // decides whether services may start
	clusters string // decides whether a cluster is created
}

func debian(out io.Writer) installer {
	return installer{
		out:      out,
		root:     os.Geteuid() == 0,
		apt:      "apt-get",
		services: "update-rc.d",
		scripts:  "/etc/init.d",
		lock:     "/var/lib/dpkg",
		policy:   "/usr/sbin/policy-rc.d",
		clusters: "/etc/postgresql-common/createcluster.conf",
	}
}

// install installs what missing returns. It asks again when no other process
// installs any more.
func (i installer) install(ctx context.Context, missing func() []product) (err error) {
	if len(missing()) == 0 {
		return nil
	}
	if !i.root {
		return errors.New("installing it needs root")
	}
	if _, err := exec.LookPath(i.apt); err != nil {
		return fmt.Errorf("installing it needs apt-get: %w", err)
	}
	oneInstall.Lock()
	defer oneInstall.Unlock()
	unlock, err := i.exclusive(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	wanted := missing()
	if len(wanted) == 0 {
		return nil
	}
	names := packages(wanted)
	_, _ = fmt.Fprintf(i.out, "installing for the tests: apt-get install %s\n", strings.Join(names, " "))
	begin := time.Now()

	forbidden, err := replace(i.policy, "#!/bin/sh\n"+mark+"\nexit 101\n", 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, forbidden()) }()
	added := i.addedBy(wanted)
	if err := i.packages(ctx, wanted, names); err != nil {
		return err
	}
	for _, service := range added() {
		if err := i.command(i.services, service, "disable"); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(i.out, "installed in %v\n", time.Since(begin).Round(time.Second))
	return nil
}

// exclusive waits until no other process of this machine installs for tests. The
// lock is on a folder, so that no file is left.
func (i installer) exclusive(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, installWait)
	defer cancel()
	unlock, err = lockFolder(ctx, i.lock)
	if err != nil {
		return nil, fmt.Errorf("no other process may install: %w", err)
	}
	return unlock, nil
}

// addedBy returns a function that says which services are new since this call:
// those that were there before may be in use.
func (i installer) addedBy(wanted []product) func() []string {
	var before []string
	here := func(service string) bool { return exists(filepath.Join(i.scripts, service)) }
	for _, p := range wanted {
		for _, service := range p.services {
			if !here(service) {
				before = append(before, service)
			}
		}
	}
	return func() []string { return slices.DeleteFunc(before, func(s string) bool { return !here(s) }) }
}

// packages runs apt-get.
func (i installer) packages(ctx context.Context, wanted []product, names []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A source that cannot be reached is none of our business if the others do.
	outdated := i.command(i.apt, "update")
	if slices.ContainsFunc(wanted, func(p product) bool { return p.kind == KindPostgreSQL }) {
		// First what creates the cluster, to keep it from doing so.
		if !exists(i.clusters) {
			if err := i.unpack("postgresql-common"); err != nil {
				return errors.Join(err, outdated)
			}
		}
		settings, err := os.ReadFile(i.clusters)
		if err != nil {
			return err
		}
		restore, err := replace(i.clusters, string(settings)+"\n"+mark+"\ncreate_main_cluster = false\n", 0o644)
		if err != nil {
			return err
		}
		return errors.Join(i.unpack(names...), restore())
	}
	if err := i.unpack(names...); err != nil {
		return errors.Join(err, outdated)
	}
	return nil
}

// unpack repeats what failed once: a failed unpacking works then.
func (i installer) unpack(names ...string) error {
	args := append([]string{
		i.apt, "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3",
		"install", "-y", "--no-install-recommends",
	}, names...)
	if i.command(args...) == nil {
		return nil
	}
	return i.command(args...)
}

// command is in a group of its own: an interrupt must not end dpkg half-way.
func (i installer) command(args ...string) error {
	var out bytes.Buffer
	cmd := command(context.Background(), "/", nil, args...)
	cmd.Env = append(os.Environ(), cmd.Env...)
	cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, &out)
	}
	return nil
}
