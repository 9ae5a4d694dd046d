#include "ritz/koopman/kernel.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/detail/float64.h"

namespace ritz::koopman {
namespace {

constexpr int64_t kRows = 512;  // of a block: a [512, d] copy in float64 stays small

Tensor squared_norms(const Tensor& a) {
  return (a.is_complex() ? at::view_as_real(a).flatten(1) : a).square().sum(1);
}

/// Distances below `kClose` times |a|^2 + |b|^2 have lost seven of sixteen digits.
constexpr double kClose = 1e-7;

void refine_close(Tensor& squares, const Tensor& a, const Tensor& b, const Tensor& size) {
  const Tensor close = (squares < kClose * size).nonzero();
  const int64_t chunk = std::max<int64_t>(1, (1 << 20) / std::max<int64_t>(1, a.size(1)));
  for (int64_t begin = 0; begin < close.size(0); begin += chunk) {
    const Tensor part = close.slice(0, begin, begin + chunk);
    const Tensor i = part.select(1, 0), j = part.select(1, 1);
    squares.index_put_({i, j}, squared_norms(a.index_select(0, i) - b.index_select(0, j)));
  }
}

/// Of rows that are float64 already and lie about a common origin. In place where it can be.
Tensor distances_about_origin(const Tensor& a, const Tensor& b) {
  const Tensor size = squared_norms(a).unsqueeze(1) + squared_norms(b).unsqueeze(0);
  const Tensor product = a.matmul(b.mH());
  Tensor squares = at::sub(size, product.is_complex() ? at::real(product) : product, 2);
  refine_close(squares, a, b, size);
  return squares.clamp_min_(0);
}

Tensor of_distances(const Kernel& kernel, Tensor squares) {
  switch (kernel.kind) {
    case KernelKind::gaussian:
      return squares.mul_(-1 / (kernel.scale * kernel.scale)).exp_();
    case KernelKind::laplacian:
      return squares.sqrt_().mul_(-1 / kernel.scale).exp_();
    default:
      return squares.mul_(1 / (kernel.scale * kernel.scale)).add_(1).reciprocal_();
  }
}

Tensor of_products(const Kernel& kernel, Tensor products) {
  if (kernel.kind == KernelKind::linear) return products;
  return products.mul_(1 / (kernel.scale * kernel.scale)).add_(1).pow_(kernel.degree);
}

bool needs_distances(KernelKind kind) {
  return kind != KernelKind::polynomial && kind != KernelKind::linear;
}

/// The origin that both arguments are moved to; distances do not change, rounding does.
Tensor origin_of(const Tensor& b) {
  return detail::float64(b.slice(0, 0, kRows)).mean(0);
}

Tensor prepare(const Tensor& a, const Tensor& origin) {
  const Tensor wide = detail::float64(a);
  return origin.defined() ? wide - origin : wide;
}

Tensor values(const Kernel& kernel, const Tensor& a, const Tensor& b) {
  return needs_distances(kernel.kind) ? of_distances(kernel, distances_about_origin(a, b))
                                      : of_products(kernel, a.matmul(b.mH()));
}

/// Mean of ||x - origin|| (of ||x||, where it is undefined), a block of rows at a time.
double mean_length(const Tensor& states, const Tensor& origin) {
  const int64_t block = std::max<int64_t>(1, (1 << 20) / std::max<int64_t>(1, states.size(1)));
  double sum = 0;
  for (int64_t begin = 0; begin < states.size(0); begin += block) {
    const Tensor rows = prepare(states.slice(0, begin, begin + block), origin);
    sum += squared_norms(rows).sqrt().sum().item<double>();
  }
  return sum / static_cast<double>(states.size(0));
}

void check_rows(const Tensor& a, const Tensor& b) {
  check_floating("a", a, /*complex=*/true);
  check_floating("b", b, /*complex=*/true);
  check_dim("a", a, 2);
  check_shape("b", b, {-1, a.size(1)});
}

}  // namespace

KernelKind parse_kernel(std::string_view name) {
  for (const auto kind : {KernelKind::gaussian, KernelKind::laplacian, KernelKind::lorentzian,
                          KernelKind::polynomial, KernelKind::linear}) {
    if (name == kernel_name(kind)) return kind;
  }
  throw InvalidArgument("kernel", "gaussian, laplacian, lorentzian, polynomial or linear", name);
}

std::string_view kernel_name(KernelKind kind) {
  switch (kind) {
    case KernelKind::gaussian:
      return "gaussian";
    case KernelKind::laplacian:
      return "laplacian";
    case KernelKind::lorentzian:
      return "lorentzian";
    case KernelKind::polynomial:
      return "polynomial";
    default:
      return "linear";
  }
}

Tensor squared_distances(const Tensor& a, const Tensor& b) {
  check_rows(a, b);
  const Tensor origin = origin_of(b);
  return distances_about_origin(prepare(a, origin), prepare(b, origin));
}

// Cost: 2 m n d flops in one product (8 for complex numbers); the kernel's function adds m n.
Tensor Kernel::operator()(const Tensor& a, const Tensor& b) const {
  check_rows(a, b);
  const Tensor origin = needs_distances(kind) ? origin_of(b) : Tensor();
  const bool complex = a.is_complex() || b.is_complex();
  Tensor wide = prepare(b, origin);
  if (complex && !wide.is_complex()) wide = wide.to(torch::kComplexDouble);
  std::vector<Tensor> blocks;
  for (int64_t begin = 0; begin < a.size(0); begin += 4 * kRows) {
    Tensor rows = prepare(a.slice(0, begin, begin + 4 * kRows), origin);
    if (complex && !rows.is_complex()) rows = rows.to(torch::kComplexDouble);
    blocks.push_back(values(*this, rows, wide));
  }
  return blocks.size() == 1 ? blocks[0] : torch::cat(blocks);
}

// Cost: m (m + 512) d flops: blocks of the lower triangle, mirrored.
Tensor Kernel::gram(const Tensor& a) const {
  check_rows(a, a);
  const Tensor wide = prepare(a, needs_distances(kind) ? origin_of(a) : Tensor());
  const int64_t m = a.size(0);
  const bool complex = wide.is_complex() && !needs_distances(kind);
  const Tensor K =
      torch::empty({m, m}, wide.options().dtype(complex ? torch::kComplexDouble : torch::kFloat64));
  for (int64_t begin = 0; begin < m; begin += kRows) {
    const int64_t end = std::min(begin + kRows, m);
    const Tensor rows = values(*this, wide.slice(0, begin, end), wide.slice(0, 0, end));
    const Tensor corner = rows.slice(1, begin, end).tril();
    K.slice(0, begin, end).slice(1, 0, begin).copy_(rows.slice(1, 0, begin));
    K.slice(0, 0, begin).slice(1, begin, end).copy_(rows.slice(1, 0, begin).mH());
    K.slice(0, begin, end).slice(1, begin, end).copy_(corner + corner.tril(-1).mH());
  }
  if (complex) at::imag(K).diagonal().zero_();
  return K;
}

double mean_spread(const Tensor& states) {
  check_dim("states", states, 2);
  const Tensor mean = states.mean(0, /*keepdim=*/false,
                                  states.is_complex() ? torch::kComplexDouble : torch::kFloat64);
  const double spread = mean_length(states, mean), size = mean_length(states, Tensor());
  if (!(spread > 1e-14 * size)) {
    throw InvalidArgument("kernel scale", "states that differ from their mean",
                          "constant data (scale 0)");
  }
  return spread;
}

// Cost: 9 M^3 flops.
Tensor principal_sections(const Tensor& gram, int64_t size, double cutoff) {
  check_dim("gram", gram, 2);
  check_shape("gram", gram, {-1, gram.size(0)});
  check_at_least("size", size, 0);
  check_in("cutoff", cutoff, 0, 1);
  const auto [values, vectors] = at::linalg_eigh(gram);  // rising
  const int64_t M = gram.size(0);
  const double largest = values[M - 1].item<double>();
  if (!(largest > 0)) throw InvalidArgument("kernel", "a Gram matrix other than zero", "zero");
  int64_t rank = (values > cutoff * largest).sum().item<int64_t>();
  if (size > 0) rank = std::min(rank, size);
  return vectors.slice(1, M - rank).flip(1) *
         values.slice(0, M - rank).flip(0).rsqrt().unsqueeze(0);
}

Kernel make_kernel(KernelKind kind, const Tensor& states, double scale, int64_t degree) {
  check_non_negative("kernel scale", scale);
  check_at_least("kernel degree", degree, 1);
  Kernel kernel{kind, scale, degree};
  if (scale > 0 || kind == KernelKind::linear) {
    kernel.scale = scale > 0 ? scale : 1;
  } else if (kind == KernelKind::polynomial) {
    kernel.scale = mean_length(states, Tensor());
    if (!(kernel.scale > 0)) {
      throw InvalidArgument("kernel scale", "states other than zero", "all zero (scale 0)");
    }
  } else {
    kernel.scale = mean_spread(states) * (kind == KernelKind::gaussian ? 0.9 : 1);
  }
  return kernel;
}

}  // namespace ritz::koopman
