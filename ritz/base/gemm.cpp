#include "ritz/base/gemm.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/types.h>

#include <ctime>

#include "ritz/base/check_tensor.h"
#include "ritz/base/detail/gemm_kernel.h"
#include "ritz/base/parallel.h"

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

bool recorded(const Tensor& t) {
  return at::GradMode::is_enabled() && t.requires_grad();
}

bool onednn_takes(const Tensor& a, const Tensor& b) {
  const auto plain = [](const Tensor& t) {
    return t.scalar_type() == at::kFloat && t.is_cpu() && t.layout() == at::kStrided &&
           !t.is_neg() && !recorded(t);
  };
  return pointwise() && at::globalContext().userEnabledMkldnn() && plain(a) && plain(b) &&
         a.numel() > 0 && b.numel() > 0;
}

bool kernel_takes(const Tensor& t) {
  const auto type = t.scalar_type();
  return detail::has_gemm_kernel() && t.is_cpu() && t.layout() == at::kStrided && !t.is_neg() &&
         (type == at::kFloat || type == at::kDouble);
}

// The kernel on all threads: they share C's rows or columns, never a sum.
template <class Scalar>
void shared_out(const Tensor& out, const Tensor& a, const Tensor& b, bool accumulate,
                const Scalar* bias) {
  using detail::Strided;
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const Strided<const Scalar> A{a.const_data_ptr<Scalar>(), a.stride(0), a.stride(1)},
      B{b.const_data_ptr<Scalar>(), b.stride(0), b.stride(1)};
  const Strided<Scalar> C{out.mutable_data_ptr<Scalar>(), out.stride(0), 1};
  constexpr int64_t kTileColumns = detail::kTileBytes / static_cast<int64_t>(sizeof(Scalar));
  const bool by_rows = m / detail::kTileRows >= n / kTileColumns;
  const int64_t tile = by_rows ? detail::kTileRows : kTileColumns, total = by_rows ? m : n;
  const int64_t tiles = (total + tile - 1) / tile;
  const int64_t grain =
      std::max<int64_t>(1, (int64_t{1} << 19) * tiles / std::max<int64_t>(1, m * k * n));
  parallel_for(0, tiles, grain, [&](int64_t first, int64_t last) {
    const int64_t begin = first * tile, size = std::min(last * tile, total) - begin;
    if (by_rows)
      detail::gemm_kernel<Scalar>(size, n, k, {A.data + begin * A.row, A.row, A.column}, B,
                                  {C.data + begin * C.row, C.row, 1}, accumulate, bias);
    else
      detail::gemm_kernel<Scalar>(m, size, k, A, {B.data + begin * B.column, B.row, B.column},
                                  {C.data + begin, C.row, 1}, accumulate,
                                  bias ? bias + begin : nullptr);
  });
}

void by_kernel(const Tensor& out, const Tensor& a, const Tensor& b, bool accumulate,
               const Tensor& bias) {
  if (out.scalar_type() == at::kFloat) {
    shared_out<float>(out, a, b, accumulate,
                      bias.defined() ? bias.const_data_ptr<float>() : nullptr);
  } else {
    shared_out<double>(out, a, b, accumulate,
                       bias.defined() ? bias.const_data_ptr<double>() : nullptr);
  }
}

Tensor kernel(const Tensor& a, const Tensor& b, const Tensor& bias = {}) {
  const auto out = at::empty({a.size(0), b.size(1)}, a.options());
  by_kernel(out, a, b, false, bias.defined() ? bias.contiguous() : bias);
  return out;
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

// A time relative to mm's, rounded to a few levels.
double level(double relative) {
  const double tie = mkl_is_handicapped() ? 1.1 : 0.9;
  return relative < 0.65 ? 0.5 : relative < 0.8 ? 0.75 : relative < tie ? 0.9 : 1.25;
}

// The fastest of a few runs, in turns: load from outside slows all or is outlived.
GemmRates measure(int64_t m, int64_t k, int64_t n) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const auto a = at::linspace(-1, 1, m * k, options).view({m, k});
  const auto b = at::linspace(-1, 1, n * k, options).view({k, n});
  const bool others[] = {pointwise().has_value(), detail::has_gemm_kernel()};
  double best[] = {1, 1, 1};
  constexpr int kRounds = 12;  // the first of each pays for threads, kernels and pages
  for (int round = 0; round < kRounds; ++round) {
    Tensor by[3];
    for (int who = 0; who < 3; ++who) {
      if (who > 0 && !others[who - 1]) continue;
      const double start = thread_seconds();
      by[who] = who == 0 ? a.mm(b) : who == 1 ? onednn(a, b) : kernel(a, b);
      best[who] = std::min(best[who], thread_seconds() - start);
      // k products of size at most 1: rounding is below k eps.
      if (round == 0 && !at::allclose(by[0], by[who], 1e-4, 1e-6 * static_cast<double>(k)))
        throw Unsupported("a product differs from mm's");
    }
  }
  const auto work = static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
  return {std::exp2(std::round(std::log2(best[0] / work))),
          others[0] ? level(best[1] / best[0]) : GemmRates::kNever,
          others[1] ? level(best[2] / best[0]) : GemmRates::kNever};
}

GemmProbe probe() {
  const at::NoGradGuard no_grad;
  GemmProbe found;
  if (!pointwise() && !detail::has_gemm_kernel()) return found;
  try {
    found.square = measure(256, 256, 256);
    found.tall = measure(2048, 128, 12);
    found.wide = measure(12, 512, 512);
    found.available = true;
  } catch (const std::exception&) {  // no oneDNN behind the operator, or a wrong product
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

// The least of the three times by the probe's rates; another than mm must win by more than the
// model's error.
GemmBackend choose(const Tensor& a, const Tensor& b) {
  const bool by_onednn = onednn_takes(a, b), by_kernel = kernel_takes(a) && kernel_takes(b) &&
                                                         a.scalar_type() == at::kFloat &&
                                                         !recorded(a) && !recorded(b);
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const double work = static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
  // Below 32^3 the calls are the larger part. Vectors are memory-bound: nothing to win.
  if (!(by_onednn || by_kernel) || work < 32768 || m == 1 || n == 1) return GemmBackend::mm;
  const auto& rates = gemm_probe();
  if (!rates.available) return GemmBackend::mm;
  const auto& rate = n < kThin ? rates.tall : m < kThin ? rates.wide : rates.square;
  const double mm = work * rate.mm;
  double onednn = 1e-5 + mm * rate.onednn;  // its operator's own cost first
  if (!a.is_contiguous()) onednn += reorder_cost(m * k, false);
  onednn += reorder_cost(n * k, b.is_contiguous() || b.t().is_contiguous());
  const double kernel = mm * rate.kernel;
  // Where the two are level, oneDNN is the faster one for products that fill its reordered blocks.
  if (by_onednn && onednn < 0.97 * mm && (!by_kernel || onednn <= 1.02 * kernel))
    return GemmBackend::onednn;
  return by_kernel && kernel < 0.97 * mm ? GemmBackend::kernel : GemmBackend::mm;
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
  switch (choose(a, b)) {
    case GemmBackend::onednn:
      return onednn(a, b);
    case GemmBackend::kernel:
      return kernel(a, b);
    default:
      return a.mm(b);
  }
}

Tensor gemm_nt(const Tensor& a, const Tensor& b, const Tensor& bias) {
  check_dim("b", b, 2);
  if (!bias.defined()) return gemm(a, b.t());
  check_operands(a, b.t());
  check_shape("bias", bias, {b.size(0)});
  check_options("bias", bias, a.options());
  switch (recorded(bias) ? GemmBackend::mm : choose(a, b.t())) {
    case GemmBackend::onednn:
      return onednn(a, b.t(), bias);
    case GemmBackend::kernel:
      return kernel(a, b.t(), bias);
    default:
      return at::addmm(bias, a, b.t());
  }
}

void gemm_into(const Tensor& out, const Tensor& a, const Tensor& b, bool accumulate) {
  check_operands(a, b);
  check_shape("out", out, {a.size(0), b.size(1)});
  check_options("out", out, a.options());
  const at::NoGradGuard no_grad;
  if (kernel_takes(a) && kernel_takes(b) && out.stride(1) == 1) {
    by_kernel(out, a, b, accumulate, {});
  } else {
    out.addmm_(a, b, accumulate ? 1 : 0);
  }
}

void gemm_into(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& bias) {
  check_shape("bias", bias, {b.size(1)});
  check_options("bias", bias, a.options());
  const at::NoGradGuard no_grad;
  if (kernel_takes(a) && kernel_takes(b) && out.stride(1) == 1) {
    check_operands(a, b);
    check_shape("out", out, {a.size(0), b.size(1)});
    check_options("out", out, a.options());
    by_kernel(out, a, b, false, bias.contiguous());
  } else {
    gemm_into(out, a, b);
    out.add_(bias);
  }
}

Tensor gemm_by(GemmBackend backend, const Tensor& a, const Tensor& b) {
  check_operands(a, b);
  if (backend == GemmBackend::automatic) return gemm(a, b);
  if (backend == GemmBackend::mm) return a.mm(b);
  if (backend == GemmBackend::kernel) {
    if (!kernel_takes(a) || !kernel_takes(b) || recorded(a) || recorded(b))
      throw Unsupported("gemm: the kernel takes float32 and float64 on a CPU with AVX-512");
    return kernel(a, b);
  }
  if (!onednn_takes(a, b))
    throw Unsupported("gemm: oneDNN takes non-empty float32 matrices on the CPU without gradients");
  return onednn(a, b);
}

}  // namespace ritz
