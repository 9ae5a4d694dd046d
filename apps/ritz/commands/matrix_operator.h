#pragma once
// A symmetric matrix from a file, as an operator.
#include <string>

#include "apps/ritz/frame/run.h"
#include "ritz/linop/linear_operator.h"

namespace ritz::app {

/// Dense from any array file, or SciPy's CSR .npz; checked to be square, finite and symmetric
/// (DataError naming the file). dtype and device are those of --dtype and --device; integers become
/// float64 with a note, float16 becomes float32.
LinearOperatorPtr load_matrix_operator(const std::string& path, Run& run);

}  // namespace ritz::app
