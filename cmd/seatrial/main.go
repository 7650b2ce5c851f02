// Command seatrial puts OS images through conformance tests.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"seatrial/internal/cli"
)

func main() {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	os.Exit(cli.Main(os.Args, cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Interrupts: interrupts,
	}))
}
