// AddressSanitizer's interface, or nothing in builds without it.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMU_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define EMU_ASAN 1
#endif

#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define EMU_POISON(address, bytes) __asan_poison_memory_region(address, bytes)
#define EMU_UNPOISON(address, bytes) __asan_unpoison_memory_region(address, bytes)
#define EMU_START_SWITCH(save, low, bytes) __sanitizer_start_switch_fiber(save, low, bytes)
#define EMU_FINISH_SWITCH(save, low, bytes) __sanitizer_finish_switch_fiber(save, low, bytes)
#else
#define EMU_POISON(address, bytes) ((void)(address), (void)(bytes))
#define EMU_UNPOISON(address, bytes) ((void)(address), (void)(bytes))
#define EMU_START_SWITCH(save, low, bytes) ((void)(save), (void)(low), (void)(bytes))
#define EMU_FINISH_SWITCH(save, low, bytes) ((void)(save), (void)(low), (void)(bytes))
#endif
