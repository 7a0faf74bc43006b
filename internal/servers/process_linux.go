package servers

import (
	"os/exec"
	"syscall"
)

// endWithParent lets the kernel kill the child when the thread that starts it
// ends: see start.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }
