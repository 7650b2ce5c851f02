/*
 * The guest's end of package agent: a process that waits in the memory of a template, reads frames
 * from a virtio-serial port and does what they say. It needs a Linux kernel and nothing else: no C
 * library, no file. See ../doc.go for the protocol, and ./build for how it is compiled.
 *
 * usage: agent PORT, as root
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long word;

enum {
	AT_FDCWD = -100, O_RDWR = 2, O_NONBLOCK = 04000, O_CLOEXEC = 02000000,
	F_SETFL = 4, SIGPIPE = 13, SIGCHLD = 17, WNOHANG = 1,
	POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 16,
	EINTR = 4, EAGAIN = 11, EINVAL = 22, ENFILE = 23,
	RNDADDENTROPY = 0x40085203, RNDRESEEDCRNG = 0x5207, SIOCGIFFLAGS = 0x8913, SIOCSIFFLAGS = 0x8914, IFF_UP = 1,
	SIOCSIFHWADDR = 0x8924,
	AF_INET = 2, SOCK_DGRAM = 2, ARPHRD_ETHER = 1, CLOCK_REALTIME = 0,
};

#if defined(__x86_64__)
enum {
	SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_sigprocmask = 14, SYS_ioctl = 16, SYS_socket = 41, SYS_bind = 49, SYS_clone = 56,
	SYS_execve = 59, SYS_wait4 = 61, SYS_kill = 62, SYS_fcntl = 72, SYS_chdir = 80, SYS_umask = 95, SYS_setsid = 112,
	SYS_setgroups = 116, SYS_setresuid = 117, SYS_setresgid = 119, SYS_clock_settime = 227, SYS_exit_group = 231,
	SYS_openat = 257, SYS_ppoll = 271, SYS_signalfd4 = 289, SYS_dup3 = 292, SYS_pipe2 = 293, SYS_getrandom = 318,
};
__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n");

static long sys(long n, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return r;
}
#elif defined(__aarch64__)
enum {
	SYS_dup3 = 24, SYS_fcntl = 25, SYS_ioctl = 29, SYS_chdir = 49, SYS_openat = 56, SYS_close = 57, SYS_pipe2 = 59,
	SYS_read = 63, SYS_write = 64, SYS_ppoll = 73, SYS_signalfd4 = 74, SYS_exit_group = 94, SYS_clock_settime = 112,
	SYS_kill = 129, SYS_sigprocmask = 135, SYS_setresuid = 147, SYS_setresgid = 149, SYS_setsid = 157, SYS_setgroups = 159,
	SYS_umask = 166, SYS_socket = 198, SYS_bind = 200, SYS_clone = 220, SYS_execve = 221, SYS_wait4 = 260, SYS_getrandom = 278,
};
__asm__(".globl _start\n_start: mov x29,#0\n mov x0,sp\n bl begin\n");

static long sys(long n, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
		x3 __asm__("x3") = d, x4 __asm__("x4") = e;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
#endif

/* The compiler may ask for these. */
void *memcpy(void *to, const void *from, word n)
{
	for (word i = 0; i < n; i++)
		((volatile u8 *)to)[i] = ((const u8 *)from)[i];
	return to;
}

void *memset(void *to, int c, word n)
{
	for (word i = 0; i < n; i++)
		((volatile u8 *)to)[i] = c;
	return to;
}

struct header { u32 kind, id, size; };

enum { MAX_PAYLOAD = 64 << 10, MAX_STDIN = 32 << 10, MAX_COMMANDS = 24, NONCE = 16 };

/* A command that runs, or whose output is still open. */
struct command {
	u32 id;
	int pid; /* 0: the entry is free; -1: it was reaped */
	int in, out, err;
	int status, last; /* last: no more input follows */
	u32 credit;       /* bytes of output that the host takes */
	u32 have, sent;   /* bytes of input in the buffer, and written of them */
	u8 input[MAX_STDIN];
};

static struct command commands[MAX_COMMANDS];
static u8 frame[sizeof(struct header) + MAX_PAYLOAD + 1]; /* as received, and a zero after it */
static u8 output[sizeof(struct header) + MAX_STDIN];
static u8 nonce[NONCE];
static u32 received;
static int port;

static void leave(int code)
{
	for (;;)
		sys(SYS_exit_group, code, 0, 0, 0, 0);
}

/* send completes the frame in output, whose payload is in place, and writes it. */
static void send(u32 kind, u32 id, u32 size)
{
	struct header h = { kind, id, size };
	memcpy(output, &h, sizeof h);
	for (word done = 0; done < sizeof h + size;) {
		long n = sys(SYS_write, port, (long)output + done, sizeof h + size - done, 0, 0);
		if (n < 0 && n != -EINTR && n != -EAGAIN)
			leave(1);
		if (n > 0)
			done += n;
	}
}

static void send_number(u32 kind, u32 id, u32 n)
{
	memcpy(output + sizeof(struct header), &n, sizeof n);
	send(kind, id, sizeof n);
}

static void shut(int *fd)
{
	if (*fd >= 0)
		sys(SYS_close, *fd, 0, 0, 0, 0);
	*fd = -1;
}

static struct command *find(u32 id)
{
	for (int i = 0; i < MAX_COMMANDS; i++)
		if (commands[i].pid && commands[i].id == id)
			return &commands[i];
	return 0;
}

static void discard(struct command *c)
{
	shut(&c->in);
	shut(&c->out);
	shut(&c->err);
	c->pid = 0;
}

static u32 number(u8 **p)
{
	u32 n;
	memcpy(&n, *p, sizeof n);
	*p += sizeof n;
	return n;
}

/* text takes a string that ends with a zero byte; there is one after every frame. */
static char *text(u8 **p)
{
	char *s = (char *)*p;
	while (**p)
		++*p;
	++*p;
	return s;
}

/* become is the child: uid gid umask groups argc envc, cwd, program, argv, env. */
static void become(u8 *p, u8 *end)
{
	static char *strings[4096];
	u32 uid = number(&p), gid = number(&p), mask = number(&p), groups = number(&p);
	u8 *list = p;
	p += 4 * groups;
	u32 argc = number(&p), envc = number(&p);
	if (p > end || argc == 0 || argc + envc + 2 > sizeof strings / sizeof *strings)
		leave(126);
	char *cwd = text(&p), *program = text(&p);
	u32 n = 0;
	for (u32 i = 0; i < argc && p < end; i++)
		strings[n++] = text(&p);
	char **env = &strings[++n];
	for (u32 i = 0; i < envc && p < end; i++)
		strings[n++] = text(&p);
	word none = 0;
	sys(SYS_sigprocmask, 2, (long)&none, 0, sizeof none, 0);
	sys(SYS_setsid, 0, 0, 0, 0, 0);
	sys(SYS_umask, mask, 0, 0, 0, 0);
	if (sys(SYS_setgroups, groups, (long)list, 0, 0, 0) || sys(SYS_setresgid, gid, gid, gid, 0, 0) ||
	    sys(SYS_setresuid, uid, uid, uid, 0, 0))
		leave(126);
	if (sys(SYS_chdir, (long)cwd, 0, 0, 0, 0))
		sys(SYS_chdir, (long)"/", 0, 0, 0, 0);
	sys(SYS_execve, (long)program, (long)strings, (long)env, 0, 0);
	leave(127);
}

static void start(u32 id, u8 *payload, u32 size)
{
	struct command *c = 0;
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	long r = -ENFILE;
	for (int i = 0; i < MAX_COMMANDS && !c; i++)
		if (!commands[i].pid)
			c = &commands[i];
	if (c && size >= 24 && !(r = sys(SYS_pipe2, (long)in, O_CLOEXEC, 0, 0, 0)) && !(r = sys(SYS_pipe2, (long)out, O_CLOEXEC, 0, 0, 0)) &&
	    !(r = sys(SYS_pipe2, (long)err, O_CLOEXEC, 0, 0, 0)))
		r = sys(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (r == 0) {
		sys(SYS_dup3, in[0], 0, 0, 0, 0);
		sys(SYS_dup3, out[1], 1, 0, 0, 0);
		sys(SYS_dup3, err[1], 2, 0, 0, 0);
		become(payload, payload + size);
	}
	shut(&in[0]);
	shut(&out[1]);
	shut(&err[1]);
	if (r < 0) {
		shut(&in[1]);
		shut(&out[0]);
		shut(&err[0]);
		send_number('f', id, -r);
		return;
	}
	sys(SYS_fcntl, in[1], F_SETFL, O_NONBLOCK, 0, 0);
	c->id = id;
	c->pid = r;
	c->in = in[1];
	c->out = out[0];
	c->err = err[0];
	c->last = c->have = c->sent = 0;
	c->credit = 4 * MAX_PAYLOAD;
}

static int write_file(u8 *p)
{
	u32 flags = number(&p), mode = number(&p), size = number(&p);
	char *path = text(&p);
	int fd = sys(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, mode, 0);
	if (fd < 0)
		return -fd;
	long n = 0;
	for (u32 done = 0; done < size && n >= 0; done += n)
		n = sys(SYS_write, fd, (long)p + done, size - done, 0, 0);
	shut(&fd);
	return n < 0 ? -n : 0;
}

static int add_entropy(u8 *payload, u32 size)
{
	static struct { int bits, size; u8 data[512]; } pool;
	if (size > sizeof pool.data)
		return EINVAL;
	pool.bits = 8 * size;
	pool.size = size;
	memcpy(pool.data, payload, size);
	int fd = sys(SYS_openat, AT_FDCWD, (long)"/dev/urandom", O_RDWR | O_CLOEXEC, 0, 0);
	if (fd < 0)
		return -fd;
	long r = sys(SYS_ioctl, fd, RNDADDENTROPY, (long)&pool, 0, 0);
	if (!r)
		r = sys(SYS_ioctl, fd, RNDRESEEDCRNG, 0, 0, 0);
	shut(&fd);
	return -r;
}

/* set_mac also takes the interface down and up, or addresses that were made of the old one would stay. */
static int set_mac(u8 *p)
{
	struct { char name[16]; u16 family; u8 address[22]; } mac = { .family = ARPHRD_ETHER };
	struct { char name[16]; u16 flags; u8 rest[22]; } state = { .flags = 0 };
	char *name = text(&p);
	for (int i = 0; i < 15 && name[i]; i++)
		mac.name[i] = state.name[i] = name[i];
	memcpy(mac.address, p, 6);
	int fd = sys(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0);
	if (fd < 0)
		return -fd;
	long r = sys(SYS_ioctl, fd, SIOCGIFFLAGS, (long)&state, 0, 0);
	if (!r) {
		state.flags &= ~IFF_UP;
		r = sys(SYS_ioctl, fd, SIOCSIFFLAGS, (long)&state, 0, 0);
	}
	if (!r)
		r = sys(SYS_ioctl, fd, SIOCSIFHWADDR, (long)&mac, 0, 0);
	if (!r) {
		state.flags |= IFF_UP;
		r = sys(SYS_ioctl, fd, SIOCSIFFLAGS, (long)&state, 0, 0);
	}
	shut(&fd);
	return -r;
}

/* has_address finds out whether an address, a sockaddr, is one of the guest's. */
static int has_address(u8 *address, u32 size)
{
	u16 family;
	memcpy(&family, address, sizeof family);
	int fd = sys(SYS_socket, family, SOCK_DGRAM, 0, 0, 0);
	if (fd < 0)
		return -fd;
	long r = sys(SYS_bind, fd, (long)address, size, 0, 0);
	shut(&fd);
	return -r;
}

static void obey(struct header *h, u8 *payload)
{
	struct command *c = find(h->id);
	u8 *p = payload;
	switch (h->kind) {
	case 'k': /* knock */
		memcpy(output + sizeof *h, nonce, NONCE);
		if (h->size > NONCE)
			h->size = NONCE;
		memcpy(output + sizeof *h + NONCE, payload, h->size);
		send('k', h->id, NONCE + h->size);
		return;
	case 'n': /* nonce */
		memcpy(nonce, payload, NONCE);
		send_number('r', h->id, 0);
		return;
	case 't': { /* time */
		long now[2];
		memcpy(now, payload, sizeof now);
		send_number('r', h->id, -sys(SYS_clock_settime, CLOCK_REALTIME, (long)now, 0, 0, 0));
		return;
	}
	case 's': /* seed */
		send_number('r', h->id, add_entropy(payload, h->size));
		return;
	case 'g':
		sys(SYS_getrandom, (long)output + sizeof *h, NONCE, 0, 0, 0);
		send('g', h->id, NONCE);
		return;
	case 'w':
		send_number('r', h->id, write_file(payload));
		return;
	case 'm':
		send_number('r', h->id, set_mac(payload));
		return;
	case 'a':
		send_number('r', h->id, has_address(payload, h->size));
		return;
	case 'x':
		start(h->id, payload, h->size);
		return;
	}
	if (!c)
		return; /* it has ended */
	switch (h->kind) {
	case 'i': /* input; none: its end */
		if (c->in < 0 || h->size > MAX_STDIN)
			return;
		if (h->size == 0)
			c->last = 1;
		memcpy(c->input, payload, h->size);
		c->have = h->size;
		c->sent = 0;
		if (c->last)
			shut(&c->in);
		return;
	case 'c': /* credit */
		c->credit += number(&p);
		return;
	case 'q': /* kill, and forget */
		if (c->pid > 0)
			sys(SYS_kill, -c->pid, number(&p), 0, 0, 0);
		discard(c);
		return;
	}
}

/* receive takes what has come, and obeys whole frames. */
static void receive(void)
{
	long n = sys(SYS_read, port, (long)frame + received, sizeof frame - 1 - received, 0, 0);
	if (n < 0 && n != -EAGAIN && n != -EINTR)
		leave(1);
	if (n > 0)
		received += n;
	while (received >= sizeof(struct header)) {
		struct header h;
		memcpy(&h, frame, sizeof h);
		if (h.size > MAX_PAYLOAD)
			leave(1);
		u32 whole = sizeof h + h.size;
		if (received < whole)
			return;
		u8 after = frame[whole];
		frame[whole] = 0;
		obey(&h, frame + sizeof h);
		frame[whole] = after;
		received -= whole;
		memcpy(frame, frame + whole, received); /* forwards: they may overlap */
	}
}

/* feed writes a command's input. */
static void feed(struct command *c)
{
	long n = sys(SYS_write, c->in, (long)c->input + c->sent, c->have - c->sent, 0, 0);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n < 0) { /* it reads no more: the rest is taken, and lost */
		shut(&c->in);
		n = c->have - c->sent;
	}
	c->sent += n;
	if (c->sent == c->have)
		send_number('i', c->id, c->have);
}

/* drain reads output of a command. */
static void drain(struct command *c, int *fd, u32 kind)
{
	u32 most = c->credit < MAX_STDIN ? c->credit : MAX_STDIN;
	long n = sys(SYS_read, *fd, (long)output + sizeof(struct header), most, 0, 0);
	if (n == -EINTR || n == -EAGAIN)
		return;
	if (n <= 0) {
		shut(fd);
		return;
	}
	c->credit -= n;
	send(kind, c->id, n);
}

static void reap(int signals)
{
	u8 info[128];
	int status, pid;
	sys(SYS_read, signals, (long)info, sizeof info, 0, 0);
	while ((pid = sys(SYS_wait4, -1, (long)&status, WNOHANG, 0, 0)) > 0)
		for (int i = 0; i < MAX_COMMANDS; i++)
			if (commands[i].pid == pid) {
				commands[i].status = status;
				commands[i].pid = -1;
			}
}

struct pollfd { int fd; short events, revents; };

__attribute__((noreturn, used)) void begin(word *stack)
{
	static struct pollfd polls[2 + 3 * MAX_COMMANDS];
	word blocked = 1ul << (SIGPIPE - 1) | 1ul << (SIGCHLD - 1), watched = 1ul << (SIGCHLD - 1);
	port = stack[0] == 2 ? sys(SYS_openat, AT_FDCWD, stack[2], O_RDWR | O_CLOEXEC, 0, 0) : -EINVAL;
	if (port < 0)
		leave(1);
	sys(SYS_setsid, 0, 0, 0, 0, 0);
	sys(SYS_sigprocmask, 0, (long)&blocked, 0, sizeof blocked, 0);
	int signals = sys(SYS_signalfd4, -1, (long)&watched, sizeof watched, O_CLOEXEC | O_NONBLOCK, 0);
	for (;;) {
		int n = 2;
		polls[0] = (struct pollfd){ port, POLLIN, 0 };
		polls[1] = (struct pollfd){ signals, POLLIN, 0 };
		for (int i = 0; i < MAX_COMMANDS; i++) {
			struct command *c = &commands[i];
			int live = c->pid != 0;
			polls[n++] = (struct pollfd){ live && c->sent < c->have ? c->in : -1, POLLOUT, 0 };
			polls[n++] = (struct pollfd){ live && c->credit ? c->out : -1, POLLIN, 0 };
			polls[n++] = (struct pollfd){ live && c->credit ? c->err : -1, POLLIN, 0 };
		}
		if (sys(SYS_ppoll, (long)polls, n, 0, 0, 0) < 0)
			continue;
		if (polls[1].revents)
			reap(signals);
		for (int i = 0; i < MAX_COMMANDS; i++) {
			struct command *c = &commands[i];
			struct pollfd *p = &polls[2 + 3 * i];
			if (!c->pid)
				continue;
			if (p[0].revents)
				feed(c);
			if (p[1].revents)
				drain(c, &c->out, 'o');
			if (p[2].revents && c->credit)
				drain(c, &c->err, 'e');
			if (c->pid < 0 && c->out < 0 && c->err < 0) {
				u32 id = c->id, status = c->status;
				discard(c);
				send_number('x', id, status);
			}
		}
		if (polls[0].revents & POLLIN)
			receive();
		else if (polls[0].revents)
			leave(0); /* the host has closed the port, for good */
	}
}
