#include "ritz/sketch/sketch.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/linop/algebra.h"
#include "ritz/linop/csr.h"
#include "ritz/linop/dense.h"

namespace ritz {
namespace {

void check(int64_t d, int64_t n, const TensorOptions& tensor) {
  check_at_least("d", d, 1);
  check_at_least("n", n, 1);
  check_floating("tensor", at::empty({0}, tensor));
}

// F x over the last dimension: with X = rfft(x), H_k = Re X_k - Im X_k and H_{n-k} = Re X_k + Im
// X_k.
Tensor hartley(const Tensor& x) {
  const int64_t n = x.size(-1);
  const auto X = at::fft_rfft(x, std::nullopt, -1, "ortho");  // [.., n/2 + 1]
  const auto re = at::real(X), im = at::imag(X);
  const int64_t mirrored = (n - 1) / 2;  // k = mirrored .. 1 give places n - k
  const auto mirror = (re + im).narrow(-1, 1, mirrored).flip(-1);
  return at::cat({re - im, mirror}, -1);
}

class TrigonometricSketch : public LinearOperator {
 public:
  TrigonometricSketch(Tensor signs, Tensor rows)
      : signs_(std::move(signs)),
        rows_(std::move(rows)),
        scale_(
            std::sqrt(static_cast<double>(signs_.size(0)) / static_cast<double>(rows_.size(0)))) {}
  int64_t rows() const override { return rows_.size(0); }
  int64_t cols() const override { return signs_.size(0); }
  TensorOptions options() const override { return signs_.options(); }

 private:
  // Both work on [k, n], where a vector's elements are neighbours.
  Tensor do_apply(const Tensor& x) const override {
    const auto mixed = hartley(x.t() * signs_);
    return (mixed.index_select(-1, rows_) * scale_).t();
  }
  Tensor do_apply_adjoint(const Tensor& y) const override {
    auto sizes = y.t().sizes().vec();
    sizes.back() = cols();
    const auto spread = at::zeros(sizes, y.options()).index_copy_(-1, rows_, y.t() * scale_);
    return (hartley(spread) * signs_).t();
  }

  Tensor signs_;  // [n]
  Tensor rows_;   // [d]
  double scale_;
};

}  // namespace

LinearOperatorPtr gaussian_sketch(int64_t d, int64_t n, const TensorOptions& tensor,
                                  const SketchOptions& options) {
  check(d, n, tensor);
  RandomStream random(options.seed, stream_id("sketch/gaussian"));
  return std::make_shared<DenseOperator>(
      random.normal({d, n}, tensor, 0, 1 / std::sqrt(static_cast<double>(d))));
}

// S^T has s entries in every row, so it is in compressed rows as it is drawn; the sketch is its
// adjoint. The rows are distinct by Floyd's rule: draw t from 0..r for r = d-s .. d-1; if t was
// taken, take r.
LinearOperatorPtr sparse_sign_sketch(int64_t d, int64_t n, const TensorOptions& tensor,
                                     const SketchOptions& options) {
  check(d, n, tensor);
  check_at_least("nonzeros", options.nonzeros, 1);
  const int64_t s = std::min(options.nonzeros, d);
  RandomStream random(options.seed, stream_id("sketch/sparse_sign"));
  std::vector<Tensor> drawn;
  for (int64_t r = d - s; r < d; ++r) drawn.push_back(random.integers({n}, 0, r + 1));
  const auto places = at::stack(drawn, 1);  // [n, s]
  auto* place = places.data_ptr<int64_t>();
  for (int64_t j = 0; j < n; ++j, place += s) {
    for (int64_t i = 1; i < s; ++i) {
      if (std::find(place, place + i, place[i]) != place + i) place[i] = d - s + i;
    }
    std::sort(place, place + s);
  }
  const auto values =
      random.rademacher({n * s}, tensor).mul_(1 / std::sqrt(static_cast<double>(s)));
  const auto device = values.device();
  return adjoint(std::make_shared<CsrOperator>(at::arange(0, n * s + 1, s, at::kLong).to(device),
                                               places.flatten().to(device), values, d));
}

LinearOperatorPtr trigonometric_sketch(int64_t d, int64_t n, const TensorOptions& tensor,
                                       const SketchOptions& options) {
  check(d, n, tensor);
  if (d > n) {
    throw InvalidArgument("d", "at most n = " + std::to_string(n), std::to_string(d));
  }
  RandomStream random(options.seed, stream_id("sketch/trigonometric"));
  auto signs = random.rademacher({n}, tensor);
  auto rows = std::get<0>(random.sample(n, d).sort()).to(signs.device());
  return std::make_shared<TrigonometricSketch>(std::move(signs), std::move(rows));
}

}  // namespace ritz
