#include "kernel.h"
#include <sys/prctl.h>
#include <linux/capability.h>
