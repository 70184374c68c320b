#include "kernel.h"
#include <sys/prctl.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/if_tun.h>
