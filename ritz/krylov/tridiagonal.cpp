#include "ritz/krylov/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ritz/base/check.h"

namespace ritz {
namespace {

constexpr int kMaxSweeps = 60;

// Rows of U that take part: [rows, m], row-major.
struct Rows {
  std::vector<double> data;
  size_t count;
  size_t m;

  // Columns k and k + 1 of each row <- a plane rotation of them.
  void rotate(size_t k, double c, double s) {
    for (size_t i = 0; i < count; ++i) {
      double& a = data[i * m + k];
      double& b = data[i * m + k + 1];
      const double old = b;
      b = s * a + c * old;
      a = c * a - s * old;
    }
  }
};

// One value at a time is split off at the top: d (diagonal) and e (off-diagonal, e[m - 1] = 0) are
// overwritten; sorted later.
void implicit_ql(std::vector<double>& d, std::vector<double>& e, Rows& rows) {
  const size_t m = d.size();
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  for (size_t l = 0; l < m; ++l) {
    for (int sweep = 0;; ++sweep) {
      size_t end = l;  // the block l..end is unreduced
      while (end + 1 < m && std::abs(e[end]) > kEps * (std::abs(d[end]) + std::abs(d[end + 1]))) {
        ++end;
      }
      if (end == l) break;
      if (sweep == kMaxSweeps) {
        throw NotConverged("eigh_tridiagonal: value " + std::to_string(l) + " of " +
                           std::to_string(m) + " did not settle in " + std::to_string(kMaxSweeps) +
                           " sweeps");
      }
      // Wilkinson's shift: the eigenvalue of the leading 2 x 2 block nearer to d[l].
      double g = (d[l + 1] - d[l]) / (2 * e[l]);
      double r = std::hypot(g, 1.0);
      g = d[end] - d[l] + e[l] / (g + std::copysign(r, g));
      double s = 1, c = 1, p = 0;
      bool split = false;
      for (size_t i = end; i-- > l;) {
        double f = s * e[i];
        const double b = c * e[i];
        r = std::hypot(f, g);
        e[i + 1] = r;
        if (r == 0) {  // an underflow split the block: start on what is left
          d[i + 1] -= p;
          e[end] = 0;
          split = true;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rows.rotate(i, c, s);
      }
      if (split) continue;
      d[l] -= p;
      e[l] = g;
      e[end] = 0;
    }
  }
}

}  // namespace

TridiagonalEigen eigh_tridiagonal(const Tridiagonal& T, bool vectors) {
  const size_t m = T.alpha.size();
  if (m == 0) throw InvalidArgument("T", "at least one row", "none");
  if (T.beta.size() + 1 != m) {
    throw InvalidArgument("T.beta", std::to_string(m - 1) + " numbers",
                          std::to_string(T.beta.size()));
  }
  for (size_t i = 0; i < m; ++i) {
    if (!std::isfinite(T.alpha[i]) || (i + 1 < m && !std::isfinite(T.beta[i]))) {
      throw InvalidArgument("T", "finite numbers", "NaN or Inf in row " + std::to_string(i));
    }
  }
  auto d = T.alpha, e = T.beta;
  e.push_back(0);
  Rows rows{{}, vectors ? m : 2, m};
  rows.data.assign(rows.count * m, 0);
  for (size_t i = 0; i < rows.count; ++i) rows.data[i * m + (vectors ? i : i * (m - 1))] = 1;
  implicit_ql(d, e, rows);

  std::vector<size_t> order(m);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return d[a] < d[b]; });
  const size_t last = rows.count - 1;
  TridiagonalEigen out;
  for (const size_t k : order) {
    out.values.push_back(d[k]);
    out.first.push_back(rows.data[k]);
    out.last.push_back(rows.data[last * m + k]);
  }
  if (vectors) {
    out.vectors.reserve(m * m);
    for (size_t i = 0; i < m; ++i) {
      for (const size_t k : order) out.vectors.push_back(rows.data[i * m + k]);
    }
  }
  return out;
}

}  // namespace ritz
