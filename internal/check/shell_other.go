//go:build !unix

package main

import (
	"context"
	"os"
	"os/exec"
)

var stopSignals = []os.Signal{os.Interrupt}

// Elsewhere only the command itself is ended, by its context.
func ownGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}

func cancelWhenOrphaned(context.Context, context.CancelFunc) {}
