package html

import (
	"seatrial/reports/internal/view"
	"testing"
)

// TestLook takes the pictures.
func TestLook(t *testing.T) {
	file := save(t, bigRun(500), view.Options{})
	b := openBrowser(t)
	for _, dark := range []bool{false, true} {
		name := map[bool]string{false: "light", true: "dark"}[dark]
		b.look(1440, 900, dark, "screen")
		b.open(file, "")
		b.shoot("desktop-" + name)
		b.eval(`document.getElementById("matrix").scrollIntoView()`)
		b.shoot("matrix-" + name)
		b.open(file, "#t/cl.suite00.test009/qemu-arm64-tcg-3510")
		b.shoot("panel-" + name)
		b.look(390, 844, dark, "screen")
		b.open(file, "")
		b.shoot("phone-" + name)
		b.eval(`document.getElementById("matrix").scrollIntoView()`)
		b.shoot("phone-matrix-" + name)
		b.open(file, "#t/cl.suite00.test009/qemu-arm64-tcg-3510")
		b.shoot("phone-panel-" + name)
	}
	b.look(1100, 800, false, "print")
	b.open(file, "")
	b.print("print")
}
