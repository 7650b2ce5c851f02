package basic

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/platforms"
)

const ssOutput = `udp   UNCONN 0      0         127.0.0.54:53         0.0.0.0:*    users:(("systemd-resolve",pid=300,fd=19))
udp   UNCONN 0      0      127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=300,fd=17))
udp   UNCONN 0      0   10.0.0.11%ens3:68           0.0.0.0:*    users:(("systemd-network",pid=290,fd=20))
udp   UNCONN 0      0                *:111                *:*
tcp   LISTEN 0      4096     127.0.0.1:41133      0.0.0.0:*    users:(("containerd",pid=500,fd=9))
tcp   LISTEN 0      128        0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=400,fd=3))
tcp   LISTEN 0      128           [::]:22            [::]:*    users:(("sshd",pid=400,fd=4),("sshd",pid=401,fd=4))
tcp   LISTEN 0      5         [::1]%lo:53            [::]:*    users:(("systemd-resolve",pid=300,fd=18))
`

func TestParseSockets(t *testing.T) {
	got, err := parseSockets(ssOutput)
	if err != nil {
		t.Fatal(err)
	}
	want := []socket{
		{"udp", "127.0.0.54", "53", "systemd-resolve", "300"},
		{"udp", "127.0.0.53", "53", "systemd-resolve", "300"},
		{"udp", "10.0.0.11", "68", "systemd-network", "290"},
		{"udp", "*", "111", "", ""},
		{"tcp", "127.0.0.1", "41133", "containerd", "500"},
		{"tcp", "0.0.0.0", "22", "sshd", "400"},
		{"tcp", "[::]", "22", "sshd", "400"},
		{"tcp", "[::1]", "53", "systemd-resolve", "300"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(socket{})); diff != "" {
		t.Errorf("sockets (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"Netid State Recv-Q", "sctp LISTEN 0 0 1.2.3.4:5 *:*", "tcp LISTEN 0 0 nonsense 0.0.0.0:*"} {
		if got, err := parseSockets(bad); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestUnexpected(t *testing.T) {
	all := platforms.NewSet("networkd", "resolved", "time-sync", "docker", "containerd")
	for _, c := range []struct {
		name   string
		socket socket
		has    platforms.Set
		known  bool
	}{
		{"SSH", socket{"tcp", "[::]", "22", "sshd", "1"}, nil, true},
		{"SSH elsewhere", socket{"tcp", "0.0.0.0", "2222", "sshd", "1"}, all, false},
		{"socket activation", socket{"tcp", "*", "22", "systemd", "1"}, nil, true},
		{"local resolver", socket{"udp", "127.0.0.53", "53", "systemd-resolve", "1"}, all, true},
		{"open resolver", socket{"udp", "0.0.0.0", "53", "systemd-resolve", "1"}, all, false},
		{"resolver without capability", socket{"udp", "127.0.0.53", "53", "systemd-resolve", "1"}, nil, false},
		{"LLMNR", socket{"udp", "0.0.0.0", "5355", "systemd-resolve", "1"}, all, false},
		{"DHCP", socket{"udp", "10.0.0.11", "68", "systemd-network", "1"}, all, true},
		{"local containerd", socket{"tcp", "127.0.0.1", "41133", "containerd", "1"}, all, true},
		{"open containerd", socket{"tcp", "0.0.0.0", "41133", "containerd", "1"}, all, false},
		{"the kernel", socket{"udp", "*", "111", "", ""}, all, false},
	} {
		got := unexpected([]socket{c.socket}, func(need platforms.Capability) bool { return c.has[need] })
		if known := len(got) == 0; known != c.known {
			t.Errorf("%s: %s is known: %v, want %v", c.name, c.socket, known, c.known)
		}
	}
}

func FuzzParseSockets(f *testing.F) {
	f.Add(ssOutput)
	f.Fuzz(func(t *testing.T, out string) {
		sockets, err := parseSockets(out)
		for _, s := range sockets {
			if err == nil && s.protocol == "" {
				t.Errorf("a socket without protocol from %q", out)
			}
		}
	})
}
