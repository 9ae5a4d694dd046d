#pragma once
// For loops over raw arrays that want vector code whatever the library is compiled for: GCC
// compiles each for three instruction sets and the loader picks. How sums and products may be
// contracted or reordered is said by the flags that CMakeLists.txt gives to each such source. That
// arrays do not overlap is said of the loops, since __restrict is lost by inlining into clones.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define RITZ_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#define RITZ_INDEPENDENT _Pragma("GCC ivdep")
#else
#define RITZ_CLONES
#define RITZ_INDEPENDENT
#endif
#define RITZ_INLINE inline __attribute__((always_inline))
