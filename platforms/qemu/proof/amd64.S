# The guest that proves KVM on amd64: a boot sector that goes the way of every
# kernel, through 16-bit real and 32-bit protected mode to 64-bit long mode.
# It counts in the latter two, since some hypervisors carry guests through them
# by interpreting each instruction, and waits for timer interrupts. Then it
# ends QEMU by way of isa-debug-exit with the status 0x31<<1|1 = 99.
#
# After a change:
#   as --64 -o /tmp/amd64.o amd64.S
#   ld -Ttext 0x7c00 --oformat binary -o amd64.bin /tmp/amd64.o

	.set	PAGES, 0x1000		# PML4, PDPT and PD, a page each
	.set	IDT, 0x4000
	.set	COUNT, 1 << 26		# a CPU takes 0.03 s, an interpreter a minute
	.set	TICKS, 3		# of the BIOS's 18.2 Hz

	.code16
	.globl	_start
_start:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp

	movw	$PAGES, %di		# page tables and IDT: all zero but for
	movw	$0x2000, %cx
	rep stosw
	movw	$PAGES + 0x1003, PAGES
	movw	$PAGES + 0x2003, PAGES + 0x1000
	movw	$0x0083, PAGES + 0x2000	# the first 2 MiB mapped to themselves
	movw	$tick, IDT + 0x200	# and the gate of vector 0x20
	movl	$0x8e000008, IDT + 0x202

	lgdt	gdtr
	movl	%cr0, %eax
	orb	$1, %al			# PE
	movl	%eax, %cr0
	ljmp	$0x18, $protected

	.code32
protected:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	$COUNT, %ecx
1:	decl	%ecx
	jnz	1b

	movl	$PAGES, %eax
	movl	%eax, %cr3
	movl	$0x20, %eax		# PAE
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx	# EFER
	rdmsr
	orl	$0x100, %eax		# LME
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax	# PG
	movl	%eax, %cr0
	ljmp	$0x08, $long

	.code64
long:
	movl	$COUNT, %ecx
1:	decl	%ecx
	jnz	1b

	lidt	idtr
	movb	$0x11, %al		# the interrupt controller's vectors start at 0x20
	outb	%al, $0x20
	movb	$0x20, %al
	outb	%al, $0x21
	movb	$0x04, %al
	outb	%al, $0x21
	movb	$0x01, %al
	outb	%al, $0x21
	movb	$0xfe, %al		# and only the timer interrupts
	outb	%al, $0x21
	movl	$TICKS, %ebx
2:	sti
	hlt
	cli
	testl	%ebx, %ebx
	jnz	2b

	movb	$0x31, %al
	outb	%al, $0xf4
3:	hlt
	jmp	3b

tick:
	decl	%ebx
	pushq	%rax
	movb	$0x20, %al		# end of interrupt
	outb	%al, $0x20
	popq	%rax
	iretq

	.balign	8
gdt:	.quad	0
	.quad	0x00209a0000000000	# 0x08: 64-bit code
	.quad	0x00cf92000000ffff	# 0x10: data
	.quad	0x00cf9a000000ffff	# 0x18: 32-bit code
gdtr:	.word	. - gdt - 1
	.long	gdt
idtr:	.word	0x20 * 16 + 15
	.quad	IDT

	.org	510
	.word	0xaa55
