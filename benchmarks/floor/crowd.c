/* crowd COUNT NAMESPACES: COUNT sleeping processes, spread over NAMESPACES sets of new uts, ipc and net (net: every
   tenth set) namespaces.  Says how many there are and ends, with all of them, when its standard input does.  Meant for
   a pid namespace of its own, whose end is theirs; each also dies with its parent. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static void stay(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 100, sets = argc > 2 ? atoi(argv[2]) : 10, made = 0;
    char byte;

    if (count > 12000)
        return 2;
    for (int set = 0; set < sets; set++) {
        int members = count / sets + (set < count % sets) - 1;
        int ready[2];
        if (pipe(ready) < 0)
            return 1;
        pid_t leader = fork();
        if (leader == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (unshare(CLONE_NEWUTS | CLONE_NEWIPC | (set % 10 ? 0 : CLONE_NEWNET)) < 0)
                _exit(1);
            for (int i = 0; i < members; i++) {
                pid_t pid = fork();
                if (pid < 0)
                    _exit(1);
                if (pid == 0) {
                    close(ready[0]);
                    close(ready[1]);
                    stay();
                }
            }
            if (write(ready[1], "x", 1) != 1)
                _exit(1);
            close(ready[0]);
            close(ready[1]);
            stay();
        }
        close(ready[1]);
        if (leader < 0 || read(ready[0], &byte, 1) != 1)
            return 1;
        close(ready[0]);
        made += members + 1;
    }
    printf("%d\n", made);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}
