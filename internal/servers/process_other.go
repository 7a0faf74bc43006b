//go:build !linux && !darwin

package servers

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// Nothing is started here: see missing.
const supported = false

func attributes(*exec.Cmd, *account) {}

func endWithParent(*exec.Cmd) {}

func signalGroup(int, syscall.Signal) {}

func tryLock(*os.File) error { return errors.ErrUnsupported }

func mine(os.FileInfo) bool { return false }
