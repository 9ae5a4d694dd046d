#include "ritz/base/gemm.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/types.h>

#include <ctime>

#include "ritz/base/check_tensor.h"

namespace ritz {
namespace {

// x W^T + b with oneDNN; W may have any strides, x is copied where it is not row-major.
using Pointwise = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&,
                         std::string_view, c10::List<std::optional<at::Scalar>>,
                         std::optional<std::string_view>);

std::optional<c10::TypedOperatorHandle<Pointwise>> find_pointwise() {
  try {
    const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!schema) return std::nullopt;
    return schema->typed<Pointwise>();
  } catch (const c10::Error&) {  // another libtorch, another signature
    return std::nullopt;
  }
}

const std::optional<c10::TypedOperatorHandle<Pointwise>>& pointwise() {
  static const auto handle = find_pointwise();
  return handle;
}

Tensor onednn(const Tensor& a, const Tensor& b, const Tensor& bias = {}) {
  return pointwise()->call(a, b.t(),
                           bias.defined() ? std::optional(bias.contiguous()) : std::nullopt, "none",
                           c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

bool onednn_takes(const Tensor& a, const Tensor& b) {
  const auto plain = [](const Tensor& t) {
    return t.scalar_type() == at::kFloat && t.is_cpu() && t.layout() == at::kStrided &&
           !t.is_neg() && !(at::GradMode::is_enabled() && t.requires_grad());
  };
  return pointwise() && at::globalContext().userEnabledMkldnn() && plain(a) && plain(b) &&
         a.numel() > 0 && b.numel() > 0;
}

// Time of this thread alone: what other processes take is not counted.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// MKL has no AVX-512 kernels for these; a measurement within its error is decided by that.
bool mkl_is_handicapped() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

// The fastest of a few runs, the two taking turns: load from outside slows both or is outlived.
GemmRates measure(int64_t m, int64_t k, int64_t n) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const auto a = at::linspace(-1, 1, m * k, options).view({m, k});
  const auto b = at::linspace(-1, 1, n * k, options).view({k, n});
  double mm = 1, relative = 1;
  constexpr int kRounds = 12;  // the first of each pays for threads, kernels and pages
  for (int round = 0; round < kRounds; ++round) {
    const double start = thread_seconds();
    const auto by_mm = a.mm(b);
    const double middle = thread_seconds();
    const auto by_onednn = onednn(a, b);
    mm = std::min(mm, middle - start);
    relative = std::min(relative, thread_seconds() - middle);
    // k products of size at most 1: rounding is below k eps.
    if (round == 0 && !at::allclose(by_mm, by_onednn, 1e-4, 1e-6 * static_cast<double>(k)))
      throw Unsupported("the oneDNN product differs from mm");
  }
  relative /= mm;
  const auto work = static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
  const double tie = mkl_is_handicapped() ? 1.1 : 0.9;
  return {std::exp2(std::round(std::log2(mm / work))), relative < 0.65  ? 0.5
                                                       : relative < 0.8 ? 0.75
                                                       : relative < tie ? 0.9
                                                                        : 1.25};
}

GemmProbe probe() {
  const at::NoGradGuard no_grad;
  GemmProbe found;
  if (!pointwise()) return found;
  try {
    found.square = measure(256, 256, 256);
    found.tall = measure(2048, 128, 12);
    found.wide = measure(12, 512, 512);
    found.available = true;
  } catch (const std::exception&) {  // no oneDNN behind the operator, or a wrong one
    found = {};
  }
  return found;
}

// Seconds to bring `count` numbers into oneDNN's order, measured on AVX-512: a streaming reorder
// moves 20 GB/s; a transposing copy 3.5 GB/s, and with the page faults of a fresh large buffer 1.2
// GB/s.
double reorder_cost(int64_t count, bool row_major) {
  const auto bytes = 4.0 * static_cast<double>(count);
  if (row_major) return bytes / 20e9;
  return bytes / (bytes > 16e6 ? 1.2e9 : 3.5e9);
}

// m, n from which a side no longer starves the kernels.
constexpr int64_t kThin = 32;

// An estimate of either's time from the probe's rates; oneDNN must win by more than the model's
// error.
bool onednn_wins(const Tensor& a, const Tensor& b) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const double work = static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
  // 64^3: below, the operator's own 10 us are the larger part. Vectors are memory-bound: nothing to
  // win.
  if (work < 262144 || m == 1 || n == 1) return false;
  const auto& rates = gemm_probe();
  if (!rates.available) return false;
  const auto& rate = n < kThin ? rates.tall : m < kThin ? rates.wide : rates.square;
  double onednn_time = 1e-5 + work * rate.mm * rate.relative;
  if (!a.is_contiguous()) onednn_time += reorder_cost(m * k, false);
  onednn_time += reorder_cost(n * k, b.is_contiguous() || b.t().is_contiguous());
  return onednn_time < 0.97 * work * rate.mm;
}

void check_operands(const Tensor& a, const Tensor& b) {
  check_dim("a", a, 2);
  check_dim("b", b, 2);
  check_shape("b", b, {a.size(1), -1});
  check_options("b", b, a.options());
}

}  // namespace

const GemmProbe& gemm_probe() {
  static const GemmProbe found = probe();
  return found;
}

Tensor gemm(const Tensor& a, const Tensor& b) {
  check_operands(a, b);
  return onednn_takes(a, b) && onednn_wins(a, b) ? onednn(a, b) : a.mm(b);
}

Tensor gemm_nt(const Tensor& a, const Tensor& b, const Tensor& bias) {
  check_dim("b", b, 2);
  if (!bias.defined()) return gemm(a, b.t());
  check_operands(a, b.t());
  check_shape("bias", bias, {b.size(0)});
  check_options("bias", bias, a.options());
  if (onednn_takes(a, b) && onednn_takes(b, bias) && onednn_wins(a, b.t()))
    return onednn(a, b.t(), bias);
  return at::addmm(bias, a, b.t());
}

Tensor gemm_by(GemmBackend backend, const Tensor& a, const Tensor& b) {
  check_operands(a, b);
  if (backend == GemmBackend::automatic) return gemm(a, b);
  if (backend == GemmBackend::mm) return a.mm(b);
  if (!onednn_takes(a, b))
    throw Unsupported("gemm: oneDNN takes non-empty float32 matrices on the CPU without gradients");
  return onednn(a, b);
}

}  // namespace ritz
