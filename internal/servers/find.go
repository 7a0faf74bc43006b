package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// places are where programs are looked for.
type places struct {
	path     func(name string) (string, error)
	beside   []string // folders beside PATH: users often have no sbin in theirs
	postgres []string // patterns of folders with all programs of one PostgreSQL
}

// usual returns the places of this machine.
func usual() places {
	return places{
		path:   exec.LookPath,
		beside: []string{"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"},
		postgres: []string{
			"/usr/lib/postgresql/*/bin",
			"/usr/pgsql-*/bin",
			"/opt/homebrew/opt/postgresql@*/bin",
			"/usr/local/opt/postgresql@*/bin",
		},
	}
}

// program returns the path of the first of the names that is there.
func (p places) program(names ...string) (string, bool) {
	for _, name := range names {
		if found, err := p.path(name); err == nil {
			return found, true
		}
		for _, dir := range p.beside {
			if found := filepath.Join(dir, name); executable(found) {
				return found, true
			}
		}
	}
	return "", false
}

// postgresBin returns the folder of the newest PostgreSQL.
func (p places) postgresBin() (string, bool) {
	var dirs []string
	for _, pattern := range p.postgres {
		found, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return major(b) - major(a) })
	if found, err := p.path("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(found))
	}
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "postgres")) && executable(filepath.Join(dir, "initdb")) {
			return dir, true
		}
	}
	return "", false
}

var number = regexp.MustCompile(`\d+`)

func major(dir string) int {
	n, err := strconv.Atoi(number.FindString(dir))
	if err != nil {
		return 0
	}
	return n
}

func executable(path string) bool {
	info, err := os.Stat(path) //nolint:gosec // G703: it is only looked at
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
