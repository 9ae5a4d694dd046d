#pragma once
// Loops over raw arrays that want vector code whatever the library is compiled for: wider clones
// are chosen when the program starts. ritz/CMakeLists.txt gives their sources -O3 and the
// permission to contract products and sums.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define RITZ_CLONES __attribute__((target_clones("default", "arch=haswell", "arch=x86-64-v4")))
#define RITZ_INDEPENDENT _Pragma("GCC ivdep")
#else
#define RITZ_CLONES
#define RITZ_INDEPENDENT
#endif
#define RITZ_INLINE inline __attribute__((always_inline))
