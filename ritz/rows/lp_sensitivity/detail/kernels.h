#pragma once
// Loops over the rows of a matrix D [m, k] that is kept column by column, on raw pointers. Every
// column has `stride` places, a multiple of kLane and zero beyond m; the number of columns kept is
// a multiple of kTile, those beyond k zero.
#include <cstdint>

namespace ritz::rows::detail {

constexpr int64_t kLane = 8;  // doubles in the widest register
constexpr int64_t kTile = 4;  // columns that one pass of the Gram kernel holds in registers

struct Columns {
  const double* data = nullptr;
  int64_t stride = 0;  // places of a column
  int64_t count = 0;   // columns kept
};

/// y = D x for x [count]. 2 m k flops, 8 m k bytes.
void multiply(const Columns& D, const double* x, double* y);
/// g = D^T y [count]. 2 m k flops, 8 m k bytes.
void multiply_transposed(const Columns& D, const double* y, double* g);
/// G = D^T diag(w) D [count, count], both triangles. m k (k + 1) flops, 8 m k bytes read from cache
/// k / 4 times.
void weighted_gram(const Columns& D, const double* w, double* G);

/// max |a|
double largest(const double* a, int64_t n);
/// sum |a / scale|^p
double power_sum(const double* a, int64_t n, double p, double scale);

// Newton on f(x) = sum |r_i / s|^p.
/// w = max(|r / s|, floor)^(p-2), at least `least`; returns f. One power a row.
double newton_weights(const double* r, int64_t n, double p, double s, double floor, double least,
                      double* w);
/// Derivatives in t of sum |(r + t d) / s|^p / p.
struct Slope {
  double first = 0, second = 0;
};
Slope slope_along(const double* r, const double* d, int64_t n, double p, double s, double t);
/// sum |w a|^q / m^q, m = max |w a|, and m.
struct DualNorm {
  double largest = 0, power = 0;
};
DualNorm dual_norm(const double* w, const double* a, int64_t n, double q);

// The interior point (lp_solver.cpp has the equations). State of one problem, arrays of n places.
struct Interior {
  double *r, *u, *v, *y, *alpha, *beta;  // D x; its positive and negative part; dual; slacks
  double *theta, *tu, *tv, *g;           // 1 / Q, right-hand sides of u and v, theta (u - v + ...)
  double *Dx, *dy;                       // of the step
  double *du, *dv, *dalpha, *dbeta;
  double *ia, *ib, *iu, *iv;  // 1 / (alpha + u phi''), 1 / (beta + v phi''), 1 / u, 1 / v
  double *pu, *pv;            // u^(p-1), v^(p-1); p > 1 alone
};
/// u, v = max(+-r, 0) + delta, y = 0, alpha = u^(p-1), beta = v^(p-1).
void interior_start(const Interior& s, int64_t n, double p, double delta);
struct Complementarity {
  double gap = 0;   // sum alpha u + beta v
  double cost = 0;  // sum u^p + v^p
};
/// The reciprocals and powers, theta, the affine tu and tv, and g = theta (u - v + tu ia - tv ib).
Complementarity interior_affine(const Interior& s, int64_t n, double p);
/// dy = theta Dx - g, for D x+ in Dx.
void interior_dual_step(const Interior& s, int64_t n);
struct Reach {
  double primal = 0, dual = 0;  // 1 / the longest step that keeps u, v and alpha, beta positive
};
/// du, dv, dalpha and dbeta that belong to dy.
Reach interior_step(const Interior& s, int64_t n, double p);
/// sum of alpha u + beta v after the step.
double interior_gap_after(const Interior& s, int64_t n, double primal, double dual);
/// Adds centring mu and the second-order term of the step so far to tu and tv; g again.
void interior_corrector(const Interior& s, int64_t n, double mu);
/// Takes the step.
void interior_move(const Interior& s, int64_t n, double primal, double dual);
/// w = 1 - (y / scale)^2 + least
void repair_weights(const double* y, int64_t n, double scale, double least, double* w);

/// y += a x
void add_scaled(double a, const double* x, int64_t n, double* y);
/// y += w x
void add_product(const double* w, const double* x, int64_t n, double* y);

}  // namespace ritz::rows::detail
