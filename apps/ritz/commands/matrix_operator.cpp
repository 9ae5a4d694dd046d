#include "apps/ritz/commands/matrix_operator.h"

#include <torch/types.h>

#include "ritz/base/check.h"
#include "ritz/io/array_file.h"
#include "ritz/io/npz.h"
#include "ritz/io/tensor.h"
#include "ritz/linop/csr.h"
#include "ritz/linop/dense.h"

namespace ritz::app {
namespace {

Tensor numbers(const io::Array& array, const std::string& path, Run& run) {
  auto values = io::to_tensor(array);
  const auto device = c10::Device(run.common.device);
  auto dtype = values.scalar_type();
  if (values.is_complex()) throw DataError("matrix", "real numbers", "complex ones", path);
  if (!values.is_floating_point()) {
    dtype = torch::kFloat64;
    run.warn("integers", "integers were converted to float64");
  } else if (dtype != torch::kFloat64) {
    dtype = torch::kFloat32;
  }
  if (!run.common.dtype.empty()) {
    dtype = run.common.dtype == "float32" ? torch::kFloat32 : torch::kFloat64;
  }
  return values.to(device, dtype);
}

LinearOperatorPtr sparse_operator(const std::string& path, Run& run) {
  const auto csr = io::read_csr_npz(path);
  run.input(path, {csr.rows, csr.cols}, io::name_of(csr.data.dtype));
  const auto values = numbers(csr.data, path, run);
  if (csr.rows != csr.cols || csr.rows == 0) {
    throw DataError("matrix", "a square matrix",
                    std::to_string(csr.rows) + " x " + std::to_string(csr.cols), path);
  }
  if (!at::isfinite(values).all().item<bool>()) {
    throw DataError("matrix", "finite numbers", "NaN or Inf", path);
  }
  auto op = std::make_shared<CsrOperator>(io::to_tensor(csr.indptr).to(values.device()),
                                          io::to_tensor(csr.indices).to(values.device()), values,
                                          csr.cols);
  if (const double gap = op->asymmetry(); gap > 1e-6) {
    throw DataError("matrix", "a symmetric matrix",
                    "max |A - A^T| = " + number_text(gap) + " max |A|", path);
  }
  return op;
}

}  // namespace

LinearOperatorPtr load_matrix_operator(const std::string& path, Run& run) {
  if (path.ends_with(".npz") && io::is_sparse_npz(io::list_arrays(path))) {
    return sparse_operator(path, run);
  }
  const auto array = io::read_array(path);
  run.input(path, array);
  if (array.shape.size() != 2 || array.shape[0] != array.shape[1] || array.shape[0] == 0) {
    throw DataError("matrix", "a square matrix", io::describe(array), path);
  }
  const auto matrix = numbers(array, path, run);
  try {
    return std::make_shared<SymmetricDenseOperator>(matrix);
  } catch (const InvalidArgument& error) {
    throw DataError(std::string(error.what()) + " (" + path + ")");
  }
}

}  // namespace ritz::app
