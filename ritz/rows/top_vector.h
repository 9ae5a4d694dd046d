#pragma once
// The first direction of rows that come once: by heavy rows and block power iteration, by Oja's
// rule at one rate or at all, and by what else there is.
#include "ritz/rows/top_vector/baselines.h"
#include "ritz/rows/top_vector/heavy_rows.h"
#include "ritz/rows/top_vector/oja.h"
