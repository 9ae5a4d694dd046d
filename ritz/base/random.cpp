#include "ritz/base/random.h"

#include <torch/types.h>

#include <numeric>
#include <unordered_map>

#include "ritz/base/check_tensor.h"
#include "ritz/base/parallel.h"
#include "ritz/base/philox.h"

namespace ritz {
namespace {

// Redraws (integers only) take blocks whose index has this byte set, which no stream reaches by
// counting.
constexpr int kRedrawShift = 56;

int64_t elements(at::IntArrayRef shape) {
  int64_t n = 1;
  for (const int64_t size : shape) {
    check_at_least("shape", size, 0);
    if (__builtin_mul_overflow(n, size, &n)) {
      throw InvalidArgument("shape", "fewer than 2^63 elements", "more");
    }
  }
  return n;
}

// Fills out[0, n) in parallel; thread boundaries fall on groups, so their number changes nothing.
// Returns how many blocks were used.
template <typename T, typename Fill>
uint64_t fill_groups(const PhiloxStream& from, T* out, int64_t n, int64_t per_group,
                     const Fill& fill) {
  const int64_t groups = (n + per_group - 1) / per_group;
  const int64_t grain = std::max<int64_t>(1, 65536 / per_group);
  parallel_for(0, groups, grain, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * per_group;
    fill(from.at(begin), out + first, std::min(end * per_group, n) - first);
  });
  return static_cast<uint64_t>(groups * PhiloxStream::kBlocks);
}

// Runs `fill(contiguous CPU tensor)` on `out` itself, or on a stand-in that is then copied over.
// float32 and float64 are filled as they are, other dtypes from float32; complex ones as real
// pairs.
template <typename Fill>
void fill_tensor(const Tensor& out, const Fill& fill) {
  if (!out.defined() || !(out.is_floating_point() || out.is_complex())) {
    throw InvalidArgument("out", "a floating-point tensor", describe(out));
  }
  const torch::NoGradGuard no_grad;
  const Tensor real = (out.is_complex() ? at::view_as_real(out) : out).detach();
  const auto type = real.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  if (real.is_cpu() && real.scalar_type() == type && real.is_contiguous()) {
    fill(real);
    if (!out.is_inference()) torch::autograd::impl::bump_version(out);
    return;
  }
  const auto stand_in = at::empty(real.sizes(), TensorOptions().dtype(type));
  fill(stand_in);
  real.copy_(stand_in);
}

}  // namespace

Tensor RandomStream::uniform(at::IntArrayRef shape, const TensorOptions& options, double low,
                             double high) {
  elements(shape);
  auto out = at::empty(shape, options.requires_grad(std::nullopt));
  fill_uniform(out, low, high);
  return out;
}

Tensor RandomStream::normal(at::IntArrayRef shape, const TensorOptions& options, double mean,
                            double sd) {
  elements(shape);
  auto out = at::empty(shape, options.requires_grad(std::nullopt));
  fill_normal(out, mean, sd);
  return out;
}

Tensor RandomStream::rademacher(at::IntArrayRef shape, const TensorOptions& options) {
  elements(shape);
  auto out = at::empty(shape, options.requires_grad(std::nullopt));
  fill_rademacher(out);
  return out;
}

void RandomStream::fill_uniform(const Tensor& out, double low, double high) {
  if (!(low < high) || !std::isfinite(low) || !std::isfinite(high) || !std::isfinite(high - low)) {
    throw InvalidArgument("low, high", "finite numbers with low < high",
                          number_text(low) + ", " + number_text(high));
  }
  if (out.defined() && out.is_complex()) {
    throw InvalidArgument("out", "a real floating-point tensor", describe(out));
  }
  fill_tensor(out, [&](const Tensor& target) {
    const PhiloxStream from{seed_, stream_, index_};
    if (target.scalar_type() == at::kDouble) {
      index_ += fill_groups(
          from, target.data_ptr<double>(), target.numel(), 32,
          [&](const PhiloxStream& s, double* p, int64_t n) { philox_uniform(s, p, n, low, high); });
      return;
    }
    const auto a = static_cast<float>(low), b = static_cast<float>(high);
    if (!(a < b) || !std::isfinite(b - a)) {
      throw InvalidArgument("low, high", "float32 numbers with low < high",
                            number_text(low) + ", " + number_text(high));
    }
    index_ += fill_groups(
        from, target.data_ptr<float>(), target.numel(), 64,
        [&](const PhiloxStream& s, float* p, int64_t n) { philox_uniform(s, p, n, a, b); });
  });
}

void RandomStream::fill_normal(const Tensor& out, double mean, double sd) {
  check_non_negative("sd", sd);
  if (!std::isfinite(mean)) throw InvalidArgument("mean", "a finite number", number_text(mean));
  const bool complex = out.defined() && out.is_complex();
  const double part = complex ? sd * std::sqrt(0.5) : sd;
  const double centre = complex ? 0 : mean;
  fill_tensor(out, [&](const Tensor& target) {
    const PhiloxStream from{seed_, stream_, index_};
    if (target.scalar_type() == at::kDouble) {
      index_ += fill_groups(from, target.data_ptr<double>(), target.numel(), 32,
                            [&](const PhiloxStream& s, double* p, int64_t n) {
                              philox_normal(s, p, n, centre, part);
                            });
    } else {
      index_ += fill_groups(from, target.data_ptr<float>(), target.numel(), 64,
                            [&](const PhiloxStream& s, float* p, int64_t n) {
                              philox_normal(s, p, n, static_cast<float>(centre),
                                            static_cast<float>(part));
                            });
    }
  });
  if (complex && mean != 0) {
    const torch::NoGradGuard no_grad;
    out.detach().add_(mean);
  }
}

void RandomStream::fill_rademacher(const Tensor& out) {
  if (out.defined() && out.is_complex()) {
    const torch::NoGradGuard no_grad;
    at::imag(out.detach()).zero_();
    return fill_rademacher(at::real(out.detach()));
  }
  fill_tensor(out, [&](const Tensor& target) {
    const PhiloxStream from{seed_, stream_, index_};
    const auto signs = [](const PhiloxStream& s, auto* p, int64_t n) { philox_signs(s, p, n); };
    if (target.scalar_type() == at::kDouble) {
      index_ += fill_groups(from, target.data_ptr<double>(), target.numel(), 2048, signs);
    } else {
      index_ += fill_groups(from, target.data_ptr<float>(), target.numel(), 2048, signs);
    }
  });
}

namespace {

__extension__ using uint128 = unsigned __int128;

// Uniform on {0, ..., range - 1} out of 64 random bits (Lemire, "Fast random integer generation in
// an interval", 2019): the upper half of word * range, where words whose lower half is below 2^64
// mod range are drawn again. Number i of the call that began at `from` has counters of its own for
// that (2 numbers a block).
uint64_t bounded(const PhiloxStream& from, int64_t i, uint64_t word, uint64_t range) {
  auto product = static_cast<uint128>(word) * range;
  if (static_cast<uint64_t>(product) < range) {
    const uint64_t reject_below = (0 - range) % range;
    for (uint64_t again = 1; static_cast<uint64_t>(product) < reject_below; ++again) {
      const uint64_t index = (from.index * 2 + static_cast<uint64_t>(i)) ^ (again << kRedrawShift);
      const auto block =
          philox_block(from.seed, {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                                   static_cast<uint32_t>(from.stream),
                                   static_cast<uint32_t>(from.stream >> 32)});
      product = static_cast<uint128>(uint64_t{block[1]} << 32 | block[0]) * range;
    }
  }
  return static_cast<uint64_t>(product >> 64);
}

void fill_words(const PhiloxStream& from, int64_t* out, int64_t n) {
  philox_words(from, reinterpret_cast<uint32_t*>(out), 2 * n);
}

constexpr int64_t kWordsPerGroup = PhiloxStream::kWords / 2;  // 64-bit ones

// Calls use(i, word_i) for i = 0..n-1 in order, a cached piece at a time.
template <typename Use>
uint64_t for_each_word(const PhiloxStream& from, int64_t n, const Use& use) {
  constexpr int64_t piece = 32 * kWordsPerGroup;
  int64_t words[piece];
  for (int64_t begin = 0; begin < n; begin += piece) {
    const int64_t count = std::min(piece, n - begin);
    fill_words(from.at(begin / kWordsPerGroup), words, count);
    for (int64_t i = 0; i < count; ++i) use(begin + i, static_cast<uint64_t>(words[i]));
  }
  return static_cast<uint64_t>((n + kWordsPerGroup - 1) / kWordsPerGroup * PhiloxStream::kBlocks);
}

}  // namespace

Tensor RandomStream::integers(at::IntArrayRef shape, int64_t low, int64_t high) {
  if (low >= high) {
    throw InvalidArgument("low, high", "integers with low < high",
                          std::to_string(low) + ", " + std::to_string(high));
  }
  const int64_t n = elements(shape);
  const PhiloxStream from{seed_, stream_, index_};
  const auto range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  auto out = at::empty(shape, TensorOptions().dtype(at::kLong));
  int64_t* const numbers = out.data_ptr<int64_t>();
  index_ += fill_groups(
      from, numbers, n, kWordsPerGroup, [&](const PhiloxStream& s, int64_t* p, int64_t count) {
        fill_words(s, p, count);
        for (int64_t i = 0; i < count; ++i) {
          const auto offset = bounded(from, p - numbers + i, static_cast<uint64_t>(p[i]), range);
          p[i] = static_cast<int64_t>(static_cast<uint64_t>(low) + offset);
        }
      });
  return out;
}

Tensor RandomStream::permutation(int64_t n) {
  return sample(n, n);
}

// The first k steps of Fisher and Yates's shuffle: step i swaps a place i with one of i..n-1. Where
// k is small only the places that were touched are held.
Tensor RandomStream::sample(int64_t n, int64_t k) {
  check_at_least("n", n, 0);
  check_range("k", k, 0, n);
  const PhiloxStream from{seed_, stream_, index_};
  const auto draw = [&](int64_t i, uint64_t word) {
    return i + static_cast<int64_t>(bounded(from, i, word, static_cast<uint64_t>(n - i)));
  };
  auto out = at::empty({k}, TensorOptions().dtype(at::kLong));
  int64_t* const chosen = out.data_ptr<int64_t>();
  if (k == n) {
    std::iota(chosen, chosen + n, int64_t{0});
    index_ += for_each_word(
        from, k, [&](int64_t i, uint64_t word) { std::swap(chosen[i], chosen[draw(i, word)]); });
    return out;
  }
  if (n / 16 <= k) {
    std::vector<int64_t> place(static_cast<size_t>(n));
    std::iota(place.begin(), place.end(), int64_t{0});
    index_ += for_each_word(from, k, [&](int64_t i, uint64_t word) {
      std::swap(place[static_cast<size_t>(i)], place[static_cast<size_t>(draw(i, word))]);
      chosen[i] = place[static_cast<size_t>(i)];
    });
    return out;
  }
  std::unordered_map<int64_t, int64_t> moved;  // place -> what is there now, where not itself
  moved.reserve(static_cast<size_t>(2 * k));
  index_ += for_each_word(from, k, [&](int64_t i, uint64_t word) {
    const auto here = moved.find(i);
    const int64_t mine = here == moved.end() ? i : here->second;
    const auto [there, fresh] = moved.try_emplace(draw(i, word), 0);
    chosen[i] = fresh ? there->first : there->second;
    there->second = mine;
  });
  return out;
}

}  // namespace ritz
