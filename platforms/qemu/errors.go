package qemu

import "fmt"

// MissingError says that this host lacks something that the platform needs.
type MissingError struct {
	What    string // "qemu-system-x86_64"
	Install string // the command that installs it on Debian and its relatives
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed; try: %s", e.What, e.Install)
}
