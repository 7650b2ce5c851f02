package debian

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkMachine proves that no binary of another architecture is left in a root.
func checkMachine(root string, want elf.Machine) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		got, ok, err := elfMachine(name)
		if err != nil {
			return err
		}
		if ok && got != want && got != elf.EM_BPF {
			return fmt.Errorf("%s is for %v, not for %v", strings.TrimPrefix(name, root), got, want)
		}
		return nil
	})
}

// elfMachine returns the machine that a file is for, if it is a binary.
func elfMachine(name string) (elf.Machine, bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	var head [20]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, false, nil
		}
		return 0, false, err
	}
	if string(head[:4]) != elf.ELFMAG || elf.Data(head[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return 0, false, nil
	}
	return elf.Machine(uint16(head[18]) | uint16(head[19])<<8), true, nil
}
