/* A stand-in for the kernel under iptables-legacy: it takes any rule and gives it back.
 *
 * Preloaded (LD_PRELOAD), it answers the socket options of ip_tables and ip6_tables: every match and
 * target is there in every revision, a table that is put in is kept in the file $NB_STANDIN and read
 * out again. So the real program's own reading, checking and writing can be seen for extensions whose
 * kernel half this machine lacks. The first reading of a table is the real kernel's.
 *
 * Facts: include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h (the two differ
 * in entries only, which stay as they are here).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/netfilter/x_tables.h>
#include <netinet/in.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct ipt_replace *kept(void) {
    FILE *file = fopen(getenv("NB_STANDIN"), "rb");
    if (!file) return NULL;
    char *data = malloc(1 << 20);
    size_t size = fread(data, 1, 1 << 20, file);
    fclose(file);
    if (size < sizeof(struct ipt_replace)) return NULL;
    return (struct ipt_replace *)data;
}

static int of_tables(int level) { return level == IPPROTO_IP || level == IPPROTO_IPV6; }

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    if (of_tables(level) && name == IPT_SO_SET_REPLACE) {
        FILE *file = fopen(getenv("NB_STANDIN"), "wb");
        fwrite(value, 1, size, file);
        fclose(file);
        return 0;
    }
    if (of_tables(level) && name == IPT_SO_SET_ADD_COUNTERS) return 0;
    int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    return real(fd, level, name, value, size);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
    int (*real)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
    if (!of_tables(level)) return real(fd, level, name, value, size);
    if (name == IPT_SO_GET_REVISION_MATCH || name == IPT_SO_GET_REVISION_TARGET ||
        (level == IPPROTO_IPV6 && (name == 68 || name == 69))) /* ip6_tables numbers them so */
        return 0;
    struct ipt_replace *table = kept();
    if (table && name == IPT_SO_GET_INFO) {
        struct ipt_getinfo *info = value;
        info->valid_hooks = table->valid_hooks;
        memcpy(info->hook_entry, table->hook_entry, sizeof info->hook_entry);
        memcpy(info->underflow, table->underflow, sizeof info->underflow);
        info->num_entries = table->num_entries;
        info->size = table->size;
        return 0;
    }
    if (table && name == IPT_SO_GET_ENTRIES) {
        struct ipt_get_entries *entries = value;
        memcpy(entries->entrytable, table->entries, table->size);
        return 0;
    }
    return real(fd, level, name, value, size);
}
