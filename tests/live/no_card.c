/* Takes the place of the server's SYCL library, which ends the process where there is no Intel graphics card.
   It registers a backend without devices (ggml-backend-impl.h, GGML_BACKEND_API_VERSION 1), so that the server
   computes on the processor. Plain C; the last name is what a C++ compiler makes of
   ggml_format_convert_to_xpu(const void *, void *, unsigned long, int). */
#include <stddef.h>

struct registration {
    int api_version;
    const char *(*get_name)(void *);
    size_t (*get_device_count)(void *);
    void *(*get_device)(void *, size_t);
    void *(*get_proc_address)(void *, const char *);
    void *context;
};

static const char *get_name(void *registry) { (void)registry; return "none"; }
static size_t get_device_count(void *registry) { (void)registry; return 0; }
static void *get_device(void *registry, size_t index) { (void)registry; (void)index; return NULL; }
static void *get_proc_address(void *registry, const char *name) { (void)registry; (void)name; return NULL; }

static struct registration no_card = {1, get_name, get_device_count, get_device, get_proc_address, NULL};

void *ggml_backend_sycl_reg(void) { return &no_card; }
void *ggml_backend_sycl_init(int device) { (void)device; return NULL; }
void ggml_backend_sycl_get_device_name(int device, char *name, size_t size) {
    (void)device;
    if (size > 0) name[0] = '\0';
}
size_t _Z26ggml_format_convert_to_xpuPKvPvmi(const void *from, void *to, size_t count, int type) {
    (void)from; (void)to; (void)count; (void)type;
    return 0;
}
