package servers

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
)

// mark tells a replaced file from one of the machine, and saved is where the
// machine's own is in the meantime.
const (
	mark  = "# put here while the tests of sessions install servers"
	saved = ".before-session-tests"
)

// replace puts a file in the place of another one, or of none, until restore is
// called. What an earlier process left that was killed is restored first.
func replace(path, content string, mode os.FileMode) (restore func() error, err error) {
	if err := putBack(path); err != nil {
		return nil, err
	}
	if err := os.Rename(path, path+saved); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	restore = func() error { return putBack(path) }
	if err := os.WriteFile(path, []byte(content), mode); err != nil { //nolint:gosec // G703: one of two files of Debian
		return nil, errors.Join(err, restore())
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}

// putBack undoes replace, and nothing else.
func putBack(path string) error {
	content, err := os.ReadFile(path) //nolint:gosec // G304: one of two files of Debian
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ours := bytes.Contains(content, []byte(mark))
	if exists(path+saved) && (ours || err != nil) {
		return os.Rename(path+saved, path)
	}
	if ours {
		return os.Remove(path)
	}
	return nil
}
