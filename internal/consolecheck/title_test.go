package consolecheck

import "testing"

func TestNormalize(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain words stay", "plain words stay"},
		{"facade decade effaced", "facade decade effaced"},
		{"bad access at ffff888004a1b2c3", "bad access at ADDR"},
		{"code 0x10", "code ADDR"},
		{"WARNING in __might_sleep+0x5d/0x70", "WARNING in __might_sleep"},
		{"file.c:123:45: x", "file.c:LINE: x"},
		{"from 10.0.2.15 to 10.0.2.2", "from IP to IP"},
		{"BUG: soft lockup - CPU#3 stuck for 26s", "BUG: soft lockup - CPU stuck for 26s"},
		{"1 2 3", "NUM NUM NUM"},
		{"pid=812 vda9 x86_64", "pid=NUM vda9 x86_64"},
		{"run12345678end", "runNUMend"},
		{"disk 9eb3a1e2-ab4a-4b8b-a0c8-b07c1a3c5a1e gone", "disk UUID gone"},
		{"  much \t space\n", "much space"},
		{"caf\u00e9 \x01\xff bell", "caf bell"},
		{"loca\u2026s.target", "loca...s.target"},
		{"kworker/0:1", "kworker/NUM:NUM"},
	}
	for _, tt := range tests {
		if got := Normalize(tt.in); got != tt.want {
			t.Errorf("Normalize(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Normalize(text)
		if again := Normalize(got); again != got {
			t.Errorf("Normalize(%q) = %q, and of that %q", text, got, again)
		}
		if len(got) > maxTitle {
			t.Errorf("%d bytes", len(got))
		}
	})
}
