/* A fork whose child belongs to the nearest ancestor that adopts orphans (PR_SET_CHILD_SUBREAPER).
 *
 * Two forks do it, too, but to copy the page tables is most of what a short run takes. Here the process in the middle
 * shares the memory of its parent, which waits meanwhile, and only its child has a copy. It calls the libc's own fork,
 * which takes the locks that other threads may hold.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE /* its longjmp refuses to go back to another stack */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static char stack[1 << 18] __attribute__((aligned(64)));
static jmp_buf here;
static volatile pid_t child;

static int middle(void *nothing)
{
    (void)nothing;
    child = fork();
    if (child == 0)
        longjmp(here, 1);
    return 0;
}

/* As fork: 0 in the child, its number in the caller, -1 where it failed. */
int fork_for_ancestor(void)
{
    if (setjmp(here))
        return 0;
    pid_t between = clone(middle, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, 0);
    if (between < 0)
        return -1;
    waitpid(between, 0, 0);
    return child;
}
