package rollup

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"seatrial/harness/event"
)

func TestPrintable(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain äöü 漢字\ttab\nline", "plain äöü 漢字\ttab\nline"},
		{"\x1b[31mred", `\x1b[31mred`},
		{"nul\x00 del\x7f c1\u0085", `nul\x00 del\x7f c1\x85`},
		{"bad \xff utf8 \xc3", `bad \xff utf8 \xc3`},
		{"replaced \ufffd", "replaced \ufffd"},
		{"crlf\r\n1%\r2%", "crlf\n1%\n2%"},
		{"rtl \u202e \u2066 \u2028", `rtl \u202e \u2066 \u2028`},
		{"not characters \ufffe \uffff \U0001fffe", `not characters \ufffe \uffff \u1fffe`},
	}
	for _, tt := range tests {
		if got := Printable(tt.in); got != tt.want {
			t.Errorf("Printable(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b]0;title\x07\xff\ufffe")
	f.Fuzz(func(t *testing.T, in string) {
		out := Printable(in)
		if !utf8.ValidString(out) {
			t.Errorf("%q became %q", in, out)
		}
		if strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && r != '\t' && unicode.IsControl(r) }) {
			t.Errorf("%q became %q", in, out)
		}
		if again := Printable(out); again != out {
			t.Errorf("%q became %q, and that %q", in, out, again)
		}
		if n := name(in); len(n) > maxName || strings.ContainsAny(n, "\n\t") {
			t.Errorf("%q is named %q", in, n)
		}
		if c := clip(in, 100); len(c) > 110 || !utf8.ValidString(c) {
			t.Errorf("%q was cut to %q", in, c)
		}
	})
}

func TestNamesStayDifferent(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, f := range []func(string) string{name, SafeName} {
		seen := make(map[string]string)
		for _, in := range []string{"", ".", "..", ".hidden", "a/b", "a~2Fb", "a b", "A", "a", "a\nb", "ä", long + "1" + long, long + "2" + long, strings.Repeat("/", 90)} {
			out := f(in)
			if old, taken := seen[out]; taken {
				t.Errorf("%q and %q are both %q", old, in, out)
			}
			seen[out] = in
		}
	}
	for _, in := range []string{"", ".", "..", "../../etc", "a/b", "nul\x00", long} {
		if out := SafeName(in); out == "" || out[0] == '.' || len(out) > 255 || strings.ContainsAny(out, "/\x00\\ ") {
			t.Errorf("SafeName(%q) = %q", in, out)
		}
	}
}

func TestPlaces(t *testing.T) {
	amd := event.Cell{Test: "t/x", Platform: "qemu", Arch: "amd64", Accel: "kvm", Image: "i1"}
	arm := event.Cell{Test: "t/x", Platform: "qemu", Arch: "arm64", Accel: "tcg", Image: "i2"}
	amdTCG, amdImage := amd, amd
	amdTCG.Accel = "tcg"
	amdImage.Image = "i3"
	tests := []struct {
		cells []event.Cell
		want  string // the artifact directory of amd
	}{
		{[]event.Cell{amd}, "artifacts/qemu-amd64/t~2Fx/2"},
		{[]event.Cell{amd, arm}, "artifacts/qemu-amd64/t~2Fx/2"},
		{[]event.Cell{amd, amdTCG}, "artifacts/qemu-amd64-kvm/t~2Fx/2"},
		{[]event.Cell{amd, amdImage}, "artifacts/qemu-amd64-i1/t~2Fx/2"},
		{[]event.Cell{amd, amdTCG, amdImage}, "artifacts/qemu-amd64-kvm-i1/t~2Fx/2"},
	}
	for _, tt := range tests {
		if got := NewPlaces(slices.Values(tt.cells)).ArtifactDir(amd, 2); got != tt.want {
			t.Errorf("among %v: %s, want %s", tt.cells, got, tt.want)
		}
	}
}
