#pragma once
// The first direction of rows that come once: by heavy rows and block power iteration, by Oja's
// rule at one rate or at all, and by what else there is.
//
//     #include "ritz/rows/top_vector.h"
//     ritz::rows::TopVector stream({.heavy = 64, .block_width = 4, .stream = {.seed = 7}});
//     for (...) stream.update(batch);  // [b, d], float32 or float64; or SparseRows
//     const auto found = stream.result();  // found.vector [d], found.sigma1, found.status
#include "ritz/rows/top_vector/baselines.h"
#include "ritz/rows/top_vector/heavy_rows.h"
#include "ritz/rows/top_vector/oja.h"
