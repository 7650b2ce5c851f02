// SPDX-License-Identifier: GPL-2.0
//
// A module with the faults that a kernel reports, each by its name: what is
// written to /proc/seatrial-fault is done at once, by the writer or in the
// context that the fault is about. It is for throw-away guests only.

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/idr.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/percpu-refcount.h>
#include <linux/proc_fs.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#define FAULT static noinline void

static struct kmem_cache *victims;
static struct proc_dir_entry *file;
static volatile int zero;
static const unsigned long constant = 42;
static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_SPINLOCK(spin);

static volatile char *at(unsigned long address)
{
	OPTIMIZER_HIDE_VAR(address);
	return (volatile char *)address;
}

/* Memory */

FAULT null_read(void) { (void)*at(zero); }
FAULT null_write(void) { *at(zero) = 1; }
FAULT null_field(void) { (void)*at(zero + 0x48); }

FAULT null_exec(void)
{
	void (*nowhere)(void) = (void *)at(zero);

	nowhere();
	barrier();
}

FAULT wild_read(void) { (void)*at(VMALLOC_END + 0x10000000UL); }
FAULT wild_write(void) { *at(VMALLOC_END + 0x20000000UL) = 1; }
FAULT noncanonical_read(void) { (void)*at(0xdead000000000100UL); }
FAULT constant_write(void) { *at((unsigned long)&constant) = 1; }
FAULT user_read(void) { (void)*at(current->mm->start_stack & ~7UL); }

FAULT data_exec(void)
{
	unsigned char *page = vmalloc(PAGE_SIZE);

	((void (*)(void))page)();
	barrier();
}

FAULT freed_vmalloc_read(void)
{
	char *area = vmalloc(4 * PAGE_SIZE);

	vfree(area);
	vm_unmap_aliases();
	(void)*at((unsigned long)area);
}

/* Slabs, with the allocator's own checks */

FAULT slab_use_after_free(void)
{
	char *victim = kmem_cache_alloc(victims, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(victim);
	kmem_cache_free(victims, victim);
	victim[8] = 1;
	kmem_cache_shrink(victims);
	kmem_cache_free(victims, kmem_cache_alloc(victims, GFP_KERNEL));
}

FAULT slab_overflow(void)
{
	char *victim = kmem_cache_alloc(victims, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(victim);
	victim[64] = 1;
	kmem_cache_free(victims, victim);
}

FAULT slab_underflow(void)
{
	char *victim = kmem_cache_alloc(victims, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(victim);
	victim[-1] = 1;
	kmem_cache_free(victims, victim);
}

FAULT slab_double_free(void)
{
	void *victim = kmem_cache_alloc(victims, GFP_KERNEL);

	kmem_cache_free(victims, victim);
	OPTIMIZER_HIDE_VAR(victim);
	kmem_cache_free(victims, victim);
}

FAULT kmalloc_double_free(void)
{
	void *victim = kmalloc(96, GFP_KERNEL);

	kfree(victim);
	OPTIMIZER_HIDE_VAR(victim);
	kfree(victim);
}

FAULT slab_leak(void)
{
	struct kmem_cache *cache = kmem_cache_create("seatrial-leaky", 40, 0, SLAB_RED_ZONE, NULL);

	if (kmem_cache_alloc(cache, GFP_KERNEL))
		kmem_cache_destroy(cache);
}

FAULT wrong_cache_free(void)
{
	void *victim = kmalloc(64, GFP_KERNEL);

	kmem_cache_free(victims, victim);
}

FAULT copy_too_much(void)
{
	size_t size = 128 + zero;
	char *victim = kmem_cache_alloc(victims, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(size);
	if (copy_to_user((void __user *)(current->mm->start_stack & PAGE_MASK), victim, size))
		pr_info("seatrial: not copied\n");
}

FAULT copy_from_stack(void)
{
	char small[16];
	size_t size = 4 * THREAD_SIZE + zero;

	OPTIMIZER_HIDE_VAR(size);
	if (copy_from_user(small, (void __user *)(current->mm->start_stack & PAGE_MASK), size))
		pr_info("seatrial: %.1s not copied\n", small);
}

FAULT string_overflow(void)
{
	struct { char name[8]; char next[64]; } s = {};
	size_t size = 16 + zero;

	OPTIMIZER_HIDE_VAR(size);
	strscpy(s.next, "overflow", sizeof(s.next));
	memcpy(s.name, s.next, size);
	strlcat(s.name, s.next, sizeof(s.name) + 1);
	pr_info("seatrial: %s\n", s.next);
}

/* Pages */

FAULT bad_page(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL, 5); /* fewer are only looked at when they leave a CPU's list */

	pages->mapping = (void *)0xdead000;
	__free_pages(pages, 5);
}

FAULT bad_rss_counter(void)
{
	atomic_long_add(5, &current->mm->rss_stat.count[MM_ANONPAGES]);
}

FAULT huge_vmalloc(void) { vfree(vmalloc(1UL << 42)); }

FAULT page_allocation(void)
{
	void *kept = NULL, *block;

	while ((block = (void *)__get_free_pages(GFP_ATOMIC, 8))) {
		*(void **)block = kept;
		kept = block;
	}
	while ((block = kept)) {
		kept = *(void **)block;
		free_pages((unsigned long)block, 8);
	}
}

FAULT order_too_large(void) { free_pages(__get_free_pages(GFP_KERNEL, MAX_ORDER + 1), MAX_ORDER + 1); }
FAULT vfree_nothing(void) { vfree((void *)(VMALLOC_START + 0x123000)); }

/* Lists and counters */

FAULT list_add_twice(void)
{
	static LIST_HEAD(head);
	static struct list_head entry;

	list_add(&entry, &head);
	list_add(&entry, &head);
}

FAULT list_del_twice(void)
{
	static LIST_HEAD(head);
	static struct list_head entry;

	list_add(&entry, &head);
	list_del(&entry);
	list_del(&entry);
}

FAULT list_overwritten(void)
{
	static LIST_HEAD(head);
	static struct list_head a, b;

	list_add(&a, &head);
	list_add(&b, &head);
	a.prev = &a;
	list_del(&b);
}

FAULT refcount_of_freed(void)
{
	refcount_t r = REFCOUNT_INIT(0);

	refcount_inc(&r);
}

FAULT refcount_underflow(void)
{
	refcount_t r = REFCOUNT_INIT(1);

	if (refcount_sub_and_test(2, &r))
		pr_info("seatrial: the last one\n");
}

FAULT refcount_leak(void)
{
	refcount_t r = REFCOUNT_INIT(1);

	refcount_dec(&r);
}

FAULT refcount_saturated(void)
{
	refcount_t r = REFCOUNT_INIT(INT_MAX);

	refcount_inc(&r);
}

FAULT kobject_uninitialized(void)
{
	static struct kobject object;

	kobject_put(&object);
}

FAULT proc_duplicate(void) { proc_create("seatrial-fault", 0, NULL, NULL); }
FAULT free_no_irq(void) { free_irq(11, NULL); }

/* Assertions */

FAULT bug(void) { BUG(); }
FAULT bug_on(void) { BUG_ON(!zero); }
FAULT warn(void) { WARN(1, "seatrial: this was asked for\n"); }
FAULT warn_on_once(void) { WARN_ON_ONCE(!zero); }
FAULT just_panic(void) { panic("seatrial asked for it"); }

/* Instructions */

FAULT undefined_instruction(void)
{
#ifdef CONFIG_X86
	asm volatile(".byte 0x0f, 0xff");
#else
	asm volatile(".inst 0x00000000");
#endif
}

FAULT divide(void) { pr_info("seatrial: %d\n", 1 / zero); }

FAULT breakpoint(void)
{
#ifdef CONFIG_X86
	asm volatile("int3");
#else
	asm volatile("brk #0x123");
#endif
}

FAULT bad_segment(void)
{
#ifdef CONFIG_X86
	asm volatile("mov %w0, %%fs" : : "r"(0xfff8));
	asm volatile("mov %w0, %%ss" : : "r"(0xfff8));
#endif
}

FAULT double_fault(void)
{
#ifdef CONFIG_X86
	asm volatile("mov %0, %%rsp; push %%rax" : : "r"(0x1000UL));
#endif
}

FAULT unaligned_exclusive(void)
{
#ifdef CONFIG_ARM64
	unsigned long buffer[4], value;

	asm volatile("ldxr %0, [%1]" : "=r"(value) : "r"((char *)buffer + 1) : "memory");
#endif
}

FAULT external_abort(void)
{
	void __iomem *nothing = ioremap(0x3ff00000, PAGE_SIZE);

	pr_info("seatrial: %x\n", readl(nothing));
}

/* Stacks */

static noinline int recurse(int depth)
{
	volatile char frame[512];

	frame[depth % 512] = depth;
	return recurse(depth + 1) + frame[(depth + 1) % 512];
}

FAULT stack_overflow(void) { recurse(zero); }

FAULT stack_smash(void)
{
	char frame[16];
	volatile char *p = frame;
	int i;

	for (i = 0; i < 64; i++)
		p[i] = 'x';
}

/* Contexts */

FAULT scheduling_while_atomic(void)
{
	preempt_disable();
	schedule_timeout_uninterruptible(1);
	preempt_enable();
}

static void leak_atomic(struct work_struct *work) { preempt_disable(); }
static DECLARE_WORK(leaky_work, leak_atomic);
FAULT workqueue_leak(void) { schedule_work(&leaky_work); }

static void work_oops(struct work_struct *work) { *at(zero) = 1; }
static DECLARE_WORK(oops_work, work_oops);
FAULT workqueue_oops(void) { schedule_work(&oops_work); }

static int thread_oops(void *unused) { return *at(zero); }
FAULT kthread_oops(void) { kthread_run(thread_oops, NULL, "seatrial-oops"); }

static void timer_warns(struct timer_list *t) { WARN_ON(!zero); }
static DEFINE_TIMER(warning_timer, timer_warns);
FAULT timer_warn(void) { mod_timer(&warning_timer, jiffies + 1); }

static void timer_oops(struct timer_list *t) { *at(zero) = 1; }
static DEFINE_TIMER(oops_timer, timer_oops);
FAULT interrupt_oops(void) { mod_timer(&oops_timer, jiffies + 1); }

static void timer_leaks(struct timer_list *t) { preempt_disable(); }
static DEFINE_TIMER(leaking_timer, timer_leaks);
FAULT timer_leak(void) { mod_timer(&leaking_timer, jiffies + 1); }

/* Time */

FAULT soft_lockup(void)
{
	unsigned long end = jiffies + 20 * HZ;

	preempt_disable();
	while (time_before(jiffies, end))
		cpu_relax();
	preempt_enable();
}

FAULT rcu_stall(void)
{
	unsigned long end = jiffies + 25 * HZ;

	rcu_read_lock();
	while (time_before(jiffies, end))
		cond_resched();
	rcu_read_unlock();
}

static int hang(void *unused)
{
	schedule_timeout_uninterruptible(40 * HZ);
	return 0;
}

FAULT hung_task(void) { kthread_run(hang, NULL, "seatrial-hang"); }

static int lock_both(void *from)
{
	struct mutex *a = from, *b = a == &first ? &second : &first;

	mutex_lock(a);
	msleep(500);
	mutex_lock(b);
	return 0;
}

FAULT deadlock(void)
{
	kthread_run(lock_both, &first, "seatrial-abba-1");
	kthread_run(lock_both, &second, "seatrial-abba-2");
}

FAULT spin_forever(void)
{
	spin_lock(&spin);
	spin_lock(&spin);
}

FAULT netdevice_leak(void)
{
	struct net_device *dev = dev_get_by_name(&init_net, "seatrial0");

	pr_info("seatrial: holds %s\n", dev ? dev->name : "nothing");
}

FAULT packet_overrun(void)
{
	struct sk_buff *skb = alloc_skb(64, GFP_KERNEL);

	skb_put(skb, 4096);
	barrier();
}

FAULT packet_underrun(void)
{
	struct sk_buff *skb = alloc_skb(64, GFP_KERNEL);

	skb_push(skb, 4096);
	barrier();
}

FAULT kfree_page(void)
{
	void *page = (void *)__get_free_page(GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(page);
	kfree(page);
}

FAULT kfree_vmalloc(void)
{
	void *area = vmalloc(PAGE_SIZE);

	OPTIMIZER_HIDE_VAR(area);
	kfree(area);
}

static noinline void put_module(void)
{
	int i;

	for (i = 0; i < 3; i++)
		module_put(THIS_MODULE);
}

static void released(struct percpu_ref *ref) { }

FAULT counter_killed_twice(void)
{
	static struct percpu_ref ref;

	if (percpu_ref_init(&ref, released, 0, GFP_KERNEL))
		return;
	percpu_ref_kill(&ref);
	percpu_ref_kill(&ref);
}

FAULT id_freed_twice(void)
{
	static DEFINE_IDA(ids);
	int id = ida_alloc(&ids, GFP_KERNEL);

	ida_free(&ids, id);
	ida_free(&ids, id);
}

FAULT group_missing(void)
{
	static struct attribute *none[] = { NULL };
	static const struct attribute_group group = { .name = "seatrial", .attrs = none };

	sysfs_remove_group(kernel_kobj, &group);
}

FAULT device_without_release(void)
{
	static struct device device = { .init_name = "seatrial-device" };

	if (!device_register(&device))
		device_unregister(&device);
}

static void nothing(struct timer_list *t) { }
static DEFINE_TIMER(idle_timer, nothing);

FAULT timer_added_twice(void)
{
	idle_timer.expires = jiffies + 60 * HZ;
	add_timer(&idle_timer);
	add_timer(&idle_timer);
}

FAULT work_without_function(void)
{
	static struct work_struct work;

	INIT_WORK(&work, NULL);
	flush_work(&work);
}

FAULT vfree_unaligned(void)
{
	char *area = vmalloc(PAGE_SIZE);

	vfree(area + 64);
}

FAULT ioremap_ram(void)
{
	void *page = (void *)__get_free_page(GFP_KERNEL);

	if (ioremap(virt_to_phys(page), PAGE_SIZE))
		pr_info("seatrial: mapped\n");
}

FAULT user_exec(void)
{
	void (*program)(void) = (void *)current->mm->start_code;

	OPTIMIZER_HIDE_VAR(program);
	program();
	barrier();
}

FAULT vmalloc_overflow(void)
{
	volatile char *area = vmalloc(PAGE_SIZE);

	area[PAGE_SIZE + zero] = 1;
}

FAULT text_write(void) { *at((unsigned long)text_write) = 1; }

static void tasklet_fails(struct tasklet_struct *t) { BUG(); }
static DECLARE_TASKLET(failing_tasklet, tasklet_fails);
FAULT tasklet_bug(void) { tasklet_schedule(&failing_tasklet); }

/* More of all kinds */

FAULT memcpy_null(void)
{
	static char buffer[256];
	void *nowhere = (void *)at(zero);
	size_t size = 200 + zero;

	memcpy(nowhere, buffer, size);
	barrier();
}

FAULT strcmp_null(void)
{
	pr_info("seatrial: %d\n", strcmp((char *)at(zero), "seatrial"));
}

FAULT mutex_null(void)
{
	mutex_lock((struct mutex *)at(zero));
	barrier();
}

FAULT wake_null(void)
{
	wake_up_process((struct task_struct *)at(zero));
	barrier();
}

FAULT completion_null(void)
{
	complete((struct completion *)at(zero));
	barrier();
}

FAULT object_without_name(void)
{
	static struct kobject object;
	static struct kobj_type type;

	kobject_init(&object, &type);
	if (!kobject_add(&object, kernel_kobj, ""))
		pr_info("seatrial: added\n");
}

FAULT counter_resurrected(void)
{
	static struct percpu_ref ref;

	if (!percpu_ref_init(&ref, released, 0, GFP_KERNEL))
		percpu_ref_resurrect(&ref);
	barrier();
}

FAULT id_negative(void)
{
	static DEFINE_IDR(ids);

	pr_info("seatrial: %d\n", idr_alloc(&ids, &ids, -5 + zero, 0, GFP_KERNEL));
}

static void warns(struct work_struct *work) { WARN_ON(!zero); }
static DECLARE_WORK(warning_work, warns);
FAULT work_warn(void) { schedule_work(&warning_work); }

FAULT queue_null(void)
{
	queue_work((struct workqueue_struct *)at(zero), &warning_work);
	barrier();
}

FAULT timer_null(void)
{
	del_timer_sync((struct timer_list *)at(zero));
	barrier();
}

static void no_setup(struct net_device *dev) { }

FAULT netdevice_unregistered(void)
{
	struct net_device *dev = alloc_netdev(0, "seatrial%d", NET_NAME_UNKNOWN, no_setup);

	if (dev)
		unregister_netdev(dev);
	barrier();
}

static int thread_fails(void *unused) { BUG_ON(!zero); return 0; }
FAULT thread_bug(void) { kthread_run(thread_fails, NULL, "seatrial-bug"); }

/* Those of held-out.txtar */

FAULT poison_read(void) { (void)*at((unsigned long)LIST_POISON1 + 8); }

FAULT spin_null(void)
{
	spin_lock((spinlock_t *)at(zero));
	barrier();
}

FAULT semaphore_null(void)
{
	down_read((struct rw_semaphore *)at(zero));
	barrier();
}

FAULT fill_null(void)
{
	size_t size = 200 + zero;

	memset((void *)at(zero), 0x55, size);
	barrier();
}

FAULT string_wild(void)
{
	char text[32];

	strscpy(text, (char *)at(VMALLOC_END + 0x30000000UL), sizeof(text));
	pr_info("seatrial: %s\n", text);
}

FAULT attribute_null(void)
{
	if (sysfs_create_file(kernel_kobj, (struct attribute *)at(zero)))
		pr_info("seatrial: not made\n");
}

FAULT proc_missing(void)
{
	remove_proc_entry("seatrial-none", NULL);
	barrier();
}

FAULT clock_null(void)
{
	hrtimer_cancel((struct hrtimer *)at(zero));
	barrier();
}

FAULT stop_null(void)
{
	kthread_stop((struct task_struct *)at(zero));
	barrier();
}

static int thread_warns(void *unused) { WARN(1, "seatrial: a thread was asked to\n"); return 0; }
FAULT thread_warn(void) { kthread_run(thread_warns, NULL, "seatrial-warn"); }

static void work_fails(struct work_struct *work) { BUG_ON(!zero); }
static DECLARE_WORK(failing_work, work_fails);
FAULT work_bug(void) { schedule_work(&failing_work); }

FAULT packet_null(void)
{
	if (skb_clone((struct sk_buff *)at(zero), GFP_KERNEL))
		pr_info("seatrial: cloned\n");
}

FAULT file_null(void)
{
	fput((struct file *)at(zero));
	barrier();
}

FAULT waiters_null(void)
{
	wake_up((struct wait_queue_head *)at(zero));
	barrier();
}

FAULT cache_null(void)
{
	if (kmem_cache_alloc((struct kmem_cache *)at(zero), GFP_KERNEL))
		pr_info("seatrial: allocated\n");
}

static const struct { const char *name; void (*run)(void); } faults[] = {
#define F(name) { #name, name }
	F(null_read), F(null_write), F(null_field), F(null_exec), F(wild_read), F(wild_write), F(noncanonical_read),
	F(constant_write), F(user_read), F(data_exec), F(freed_vmalloc_read), F(slab_use_after_free), F(slab_overflow),
	F(slab_underflow), F(slab_double_free), F(kmalloc_double_free), F(slab_leak), F(wrong_cache_free),
	F(copy_too_much), F(copy_from_stack), F(string_overflow), F(bad_page), F(bad_rss_counter),
	F(huge_vmalloc), F(page_allocation), F(order_too_large), F(vfree_nothing), F(list_add_twice), F(list_del_twice),
	F(list_overwritten), F(refcount_of_freed), F(refcount_underflow), F(refcount_leak), F(refcount_saturated),
	F(kobject_uninitialized), F(proc_duplicate), F(free_no_irq), F(bug), F(bug_on), F(warn), F(warn_on_once),
	F(just_panic), F(undefined_instruction), F(divide), F(breakpoint), F(bad_segment),
	F(double_fault), F(unaligned_exclusive), F(external_abort), F(stack_overflow), F(stack_smash),
	F(scheduling_while_atomic), F(workqueue_leak), F(workqueue_oops), F(kthread_oops), F(timer_warn),
	F(interrupt_oops), F(timer_leak), F(soft_lockup), F(rcu_stall), F(hung_task), F(deadlock), F(spin_forever),
	F(netdevice_leak),
	F(packet_overrun), F(packet_underrun), F(kfree_page), F(kfree_vmalloc), { "module_put", put_module },
	F(counter_killed_twice), F(id_freed_twice), F(group_missing), F(device_without_release),
	F(timer_added_twice), F(work_without_function), F(vfree_unaligned), F(ioremap_ram),
	F(user_exec), F(vmalloc_overflow), F(text_write), F(tasklet_bug),
	F(memcpy_null), F(strcmp_null), F(mutex_null), F(wake_null), F(completion_null), F(object_without_name),
	F(counter_resurrected), F(id_negative), F(work_warn), F(queue_null), F(timer_null),
	F(netdevice_unregistered), F(thread_bug),
	F(poison_read), F(spin_null), F(semaphore_null), F(fill_null), F(string_wild), F(attribute_null), F(proc_missing),
	F(clock_null), F(stop_null), F(thread_warn), F(work_bug), F(packet_null), F(file_null), F(waiters_null),
	F(cache_null),
};

static ssize_t fault(struct file *f, const char __user *text, size_t size, loff_t *offset)
{
	char name[40] = {};
	int i;

	if (size >= sizeof(name) || copy_from_user(name, text, size))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (sysfs_streq(name, faults[i].name)) {
			faults[i].run();
			return size;
		}
	}
	return -EINVAL;
}

static const struct proc_ops ops = { .proc_write = fault };

static int __init start(void)
{
	victims = kmem_cache_create("seatrial-victims", 64, 0, SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON, NULL);
	file = proc_create("seatrial-fault", 0200, NULL, &ops);
	return victims && file ? 0 : -ENOMEM;
}

module_init(start);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Faults of the kernel, on request");
