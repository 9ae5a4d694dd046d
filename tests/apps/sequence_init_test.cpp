// without libtorch
// `ritz sequence init`, `diagonalise` and `transfer` as a user meets them.
#include <cmath>
#include <complex>

#include "ritz/io/array_file.h"
#include "tests/apps/program.h"

namespace ritz::tests {
namespace {

using C = std::complex<double>;

class SequenceCommands : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    setenv("XDG_CACHE_HOME", (work() / "cache").c_str(), 1);
  }
  void TearDown() override { unsetenv("XDG_CACHE_HOME"); }

  io::Array array(const std::string& path) const {
    return io::read_array((work() / path).string());
  }
  template <class T>
  static std::vector<T> numbers(const io::Array& array) {
    const auto* data = reinterpret_cast<const T*>(array.data);
    return {data, data + array.count()};
  }
  void write_matrix(const std::string& name, int64_t n, double diagonal, double above) const {
    auto a = io::make_array("A", {n, n}, io::DType::float64);
    auto* x = reinterpret_cast<double*>(io::mutable_data(a));
    for (int64_t i = 0; i < n; ++i) {
      x[i * n + i] = diagonal;
      if (i + 1 < n) x[i * n + i + 1] = above;
    }
    io::write_arrays((work() / name).string(), {a}, {.force = true});
  }
};

TEST_F(SequenceCommands, InitWritesADecompositionOfHippoAndItsFigures) {
  const int n = 8;
  const auto run = ritz(
      "sequence init --states 8 --rho 0.1 --method optimised --steps 150 --restarts 2 "
      "--out i.npz --json i.json");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("kappa"), std::string::npos);
  const auto figures = json("i.json");
  EXPECT_LT(figures["kappa"], 15);
  EXPECT_LE(figures["rho"], 0.1 + 1e-12);
  EXPECT_LT(figures["max_real"], 0);
  EXPECT_LT(figures["sup_error"], 0.3);
  // W diag(m) W_inv - E is HiPPO's matrix.
  const auto E = numbers<double>(array("i.npz:E"));
  const auto m = numbers<C>(array("i.npz:eigenvalues")), W = numbers<C>(array("i.npz:W")),
             Y = numbers<C>(array("i.npz:W_inv"));
  ASSERT_EQ(W.size(), size_t(n * n));
  for (int j = 0; j < n; ++j)
    for (int k = 0; k < n; ++k) {
      C sum = -E[size_t(j * n + k)];
      for (int i = 0; i < n; ++i) sum += W[size_t(j * n + i)] * m[size_t(i)] * Y[size_t(i * n + k)];
      const double hippo = j > k    ? -std::sqrt((2 * j + 1.0) * (2 * k + 1.0))
                           : j == k ? -(j + 1.0)
                                    : 0;
      EXPECT_NEAR(std::abs(sum - hippo), 0, 1e-10);
    }
  // A second time out of the cache, with the same bits.
  ASSERT_EQ(
      ritz("sequence init --states 8 --rho 0.1 --steps 150 --restarts 2 --out j.npz --json j.json")
          .code,
      0);
  EXPECT_EQ(json("j.json")["from_cache"], true);
  EXPECT_EQ(json("j.json")["kappa"], figures["kappa"]);
  EXPECT_EQ(numbers<double>(array("j.npz:E")), E);
}

TEST_F(SequenceCommands, EveryMethodGivesItsSystem) {
  for (const std::string method : {"none", "s4d"}) {
    ASSERT_EQ(ritz("sequence init --states 32 --method " + method + " --json n.json --force").code,
              0);
    EXPECT_NEAR(json("n.json")["kappa"], 1, 1e-10);
    EXPECT_NEAR(json("n.json")["sup_error"], 0.634, 5e-4);
    EXPECT_EQ(json("n.json")["max_real"], -0.5);
  }
  ASSERT_EQ(ritz("sequence init --states 16 --rho 0.1 --method path --json p.json").code, 0);
  EXPECT_NEAR(json("p.json")["rho"], 0.1, 1e-12);
  // A random E of that size is not stable: said, but it is what was asked for.
  ASSERT_EQ(
      ritz("sequence init --states 16 --rho 0.1 --method ginibre --out g.npz --json g.json").code,
      0);
  EXPECT_EQ(json("g.json")["warnings"][0]["code"], "unstable");
  EXPECT_NEAR(json("g.json")["rho"], 0.1, 1e-12);
  ASSERT_EQ(ritz("sequence init --states 16 --method file:g.npz:E --json f.json").code, 4);
  EXPECT_EQ(json("f.json")["kappa"], json("g.json")["kappa"]);
}

TEST_F(SequenceCommands, UnstableSystemsAreMarkedWithTheirNumber) {
  write_matrix("E.npy", 4, 100, 0);
  const auto run = ritz("sequence init --states 4 --method file:E.npy --out i.npz --json i.json");
  EXPECT_EQ(run.code, 4);
  EXPECT_NE(run.err.find("unstable eigenvalues, max Re m = 99"), std::string::npos) << run.err;
  EXPECT_EQ(json("i.json")["warnings"][0]["code"], "not_converged");
  EXPECT_EQ(array("i.npz:E").count(), 16);
}

TEST_F(SequenceCommands, DiagonaliseTakesAnyMatrix) {
  write_matrix("J.npy", 6, -1, 1);  // a Jordan block
  const auto run =
      ritz("sequence diagonalise J.npy --rho 0.05 --steps 200 --out d.npz --json d.json");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_LT(json("d.json")["kappa"], 40);
  EXPECT_LE(json("d.json")["rho"], 0.05 + 1e-12);
  EXPECT_FALSE(json("d.json").contains("sup_error"));
  ASSERT_EQ(ritz("sequence diagonalise J.npy --rho 0.05 --method ginibre --json r.json").code, 0);
  EXPECT_GT(json("r.json")["kappa"], json("d.json")["kappa"]);
  ASSERT_EQ(ritz("sequence diagonalise J.npy --rho 0.05 --steps 100 --stable --json s.json").code,
            0);
  EXPECT_NEAR(json("s.json")["abscissa"], -1, 1e-9);
  ASSERT_EQ(ritz("sequence diagonalise J.npy --method file:d.npz:E --json f.json").code, 0);
  EXPECT_EQ(json("f.json")["kappa"], json("d.json")["kappa"]);
}

TEST_F(SequenceCommands, TransferWritesCurvesAndKernels) {
  ASSERT_EQ(ritz("sequence init --states 6 --rho 0.1 --steps 60 --restarts 1 --out i.npz").code, 0);
  auto c = io::make_array("c", {6}, io::DType::float64),
       w = io::make_array("w", {3}, io::DType::float64);
  auto *cs = reinterpret_cast<double*>(io::mutable_data(c)),
       *ws = reinterpret_cast<double*>(io::mutable_data(w));
  cs[0] = 1;  // the first state: G_s4 = 1 / (s + 1)
  ws[0] = 0.5, ws[1] = 3, ws[2] = 40;
  io::write_arrays((work() / "c.npy").string(), {c}, {});
  io::write_arrays((work() / "w.npy").string(), {w}, {});
  const auto run = ritz(
      "sequence transfer --states 6 --systems s4,s4d,s4-ptd --init i.npz --C c.npy "
      "--frequencies w.npy --out g.csv --json g.json");
  ASSERT_EQ(run.code, 0) << run.err;
  const std::string text = test::read_text(work() / "g.csv");
  EXPECT_EQ(text.substr(0, text.find('\n')), "omega,s4_re,s4_im,s4d_re,s4d_im,s4-ptd_re,s4-ptd_im");
  const auto re = numbers<double>(array("g.csv:s4_re")), im = numbers<double>(array("g.csv:s4_im"));
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(std::abs(C(re[i], im[i]) - 1.0 / C(1, ws[i])), 0, 1e-14);
  EXPECT_EQ(json("g.json")["max_error"]["s4"], 0);
  // The first state's kernel under zoh: (1 - exp(-d)) exp(-d l).
  ASSERT_EQ(
      ritz("sequence transfer --systems s4,s4d,s4-ptd --init i.npz --C c.npy --impulse 20 --dt 0.1 "
           "--discretisation zoh --out k.csv")
          .code,
      0);
  const std::string kernels = test::read_text(work() / "k.csv");
  EXPECT_EQ(kernels.substr(0, kernels.find('\n')), "s4,s4d,s4-ptd");
  const auto k = numbers<double>(array("k.csv:s4"));
  ASSERT_EQ(k.size(), 20u);
  for (size_t l = 0; l < 20; ++l)
    EXPECT_NEAR(k[l], -std::expm1(-0.1) * std::exp(-0.1 * double(l)), 1e-13);
  ASSERT_EQ(ritz("sequence transfer --systems s4 --C c.npy --impulse 20 --dt 0.1 --discretisation "
                 "bilinear "
                 "--out b.csv --plot b.svg")
                .code,
            0);
  const auto b = numbers<double>(array("b.csv"));
  EXPECT_NEAR(b[1] / b[0], 0.95 / 1.05, 1e-13);
  EXPECT_NE(test::read_text(work() / "b.svg").find("<svg"), std::string::npos);
}

TEST_F(SequenceCommands, BadInputIsOneLine) {
  write_matrix("J.npy", 4, -1, 1);
  auto wide = io::make_array("A", {3, 4}, io::DType::float64);
  io::write_arrays((work() / "wide.npy").string(), {wide}, {});
  auto bad = io::make_array("A", {2, 2}, io::DType::float64);
  reinterpret_cast<double*>(io::mutable_data(bad))[1] = NAN;
  io::write_arrays((work() / "nan.npy").string(), {bad}, {});
  expect_error("sequence diagonalise wide.npy --out d.npz", 3, "square");
  expect_error("sequence diagonalise nan.npy --out d.npz", 3, "finite");
  expect_error("sequence diagonalise missing.npy --out d.npz", 3, "missing.npy");
  expect_error("sequence diagonalise J.npy --rho 0", 2, "--rho");
  expect_error("sequence diagonalise J.npy --abscissa -1", 2, "--stable");
  expect_error("sequence init --states 0", 2, "--states");
  expect_error("sequence init --states 2049", 2, "--states");
  expect_error("sequence init --method best", 2, "optimised");
  expect_error("sequence init --states 5 --method file:J.npy", 3, "--states 5");
  expect_error("sequence init --states 4 --method none --out i.npy", 2, "--out");
  expect_error("sequence transfer --impulse 5 --out k.csv", 2, "--dt");
  expect_error("sequence transfer --impulse 5 --dt -1 --out k.csv", 2, "--dt");
  expect_error("sequence transfer --systems s6", 2, "s6");
  expect_error("sequence transfer --states 5 --systems s4 --C J.npy", 3, "C");
  expect_error("sequence transfer --init J.npy --systems s4-ptd", 3, "E");
}

}  // namespace
}  // namespace ritz::tests
