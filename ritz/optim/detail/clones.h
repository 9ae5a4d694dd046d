#pragma once
// For loops over raw arrays that want vector code whatever the library is compiled for: wider
// clones are chosen when the program starts, and CMakeLists.txt adds -O3 -fno-math-errno (a root
// that may set errno is a branch) to their sources. No clone contracts products and sums
// (-ffp-contract=off there) or reorders sums: all give the same bits, and a loop's tail those of
// its body. That arrays do not overlap is said of the loops, since
// __restrict is lost by inlining into clones.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define RITZ_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#define RITZ_INDEPENDENT _Pragma("GCC ivdep")
#else
#define RITZ_CLONES
#define RITZ_INDEPENDENT
#endif
#define RITZ_INLINE inline __attribute__((always_inline))
