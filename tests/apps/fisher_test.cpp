// without libtorch
// `ritz fisher` and `ritz prune` as a user meets them: files, exit codes, messages.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "ritz/io/array_file.h"
#include "ritz/io/safetensors.h"
#include "tests/apps/program.h"

namespace {

using ritz::io::DType;

class Fisher : public ritz::tests::ProgramTest {
 protected:
  template <class T>
  void save(const std::string& name, const std::vector<int64_t>& shape,
            const std::vector<T>& values, DType dtype) const {
    auto array = ritz::io::make_array("", shape, dtype);
    std::memcpy(ritz::io::mutable_data(array), values.data(), array.bytes());
    ritz::io::write_arrays((work() / name).string(), {array}, {.force = true});
  }
  std::vector<double> load(const std::string& name) const {
    const auto array = ritz::io::read_array((work() / name).string());
    const auto count = static_cast<size_t>(array.count());
    if (array.dtype == DType::float64) {
      const auto* values = reinterpret_cast<const double*>(array.data);
      return {values, values + count};
    }
    EXPECT_EQ(array.dtype, DType::float32);
    const auto* values = reinterpret_cast<const float*>(array.data);
    return {values, values + count};
  }

  /// G = sqrt(m) c_i e_i in row i: F is lambda + c_i^2 at i < m, lambda elsewhere.
  void save_known_rows() const {
    std::vector<double> rows(3 * 5);
    for (size_t i = 0; i < 3; ++i) rows[5 * i + i] = std::sqrt(3.0) * static_cast<double>(i + 1);
    save("G.npy", {3, 5}, rows, DType::float64);
  }
  std::vector<double> known_diagonal(double damping) const {
    return {1 / (damping + 1), 1 / (damping + 4), 1 / (damping + 9), 1 / damping, 1 / damping};
  }
};

TEST_F(Fisher, AnswersOnRowsWhoseInverseIsKnown) {
  save_known_rows();
  const auto expected = known_diagonal(0.5);
  for (const std::string more : {"", " --block 2", " --block 4 --memory-limit 1"}) {
    SCOPED_TRACE(more);
    ASSERT_EQ(ritz("fisher diag G.npy --damping 0.5 --force --out d.npy --json d.json" + more).code,
              0);
    const auto diagonal = load("d.npy");
    ASSERT_EQ(diagonal.size(), 5u);
    for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(diagonal[i], expected[i], 1e-12);
    EXPECT_NEAR(json("d.json")["trace"].get<double>(),
                std::accumulate(expected.begin(), expected.end(), 0.0), 1e-12);
    EXPECT_EQ(json("d.json")["gradients"], 3);
    EXPECT_EQ(json("d.json")["parameters"], 5);

    save("x.npy", {5}, std::vector<double>{1, 2, 3, 4, 5}, DType::float64);
    ASSERT_EQ(ritz("fisher ihvp G.npy x.npy --damping 0.5 --force --out y.npy" + more).code, 0);
    const auto y = load("y.npy");
    for (size_t i = 0; i < 5; ++i)
      EXPECT_NEAR(y[i], expected[i] * static_cast<double>(i + 1), 1e-12);

    ASSERT_EQ(ritz("fisher columns G.npy --at 4,1 --damping 0.5 --force --out c.npy" + more).code,
              0);
    const auto columns = load("c.npy");
    ASSERT_EQ(columns.size(), 10u);
    EXPECT_NEAR(columns[2 * 4], expected[4], 1e-12);
    EXPECT_NEAR(columns[2 * 1 + 1], expected[1], 1e-12);
    EXPECT_NEAR(columns[2 * 1], 0, 1e-12);

    const auto elements =
        ritz("fisher elements G.npy --at '2,2;0,4' --damping 0.5 --json -" + more);
    ASSERT_EQ(elements.code, 0) << elements.err;
    const auto values = nlohmann::json::parse(elements.out)["elements"];
    EXPECT_NEAR(values[0].get<double>(), expected[2], 1e-12);
    EXPECT_NEAR(values[1].get<double>(), 0, 1e-12);

    const auto spectrum = ritz("fisher spectrum G.npy --damping 0.5 --json -" + more);
    ASSERT_EQ(spectrum.code, 0) << spectrum.err;
    const auto found = nlohmann::json::parse(spectrum.out);
    EXPECT_NEAR(found["eigenvalues"][0].get<double>(), 9.5, 1e-12);
    EXPECT_NEAR(found["trace"].get<double>(), 14 + 5 * 0.5, 1e-12);
  }
}

TEST_F(Fisher, TakesHalfPrecisionRows) {
  // 1.0, 0 and 2.0 in float16.
  save("G.npy", {2, 3}, std::vector<uint16_t>{0x3c00, 0, 0, 0, 0x4000, 0}, DType::float16);
  ASSERT_EQ(ritz("fisher diag G.npy --damping 0.5 --out d.npy").code, 0);
  const auto diagonal = load("d.npy");
  EXPECT_NEAR(diagonal[0], 1 / (0.5 + 0.5), 1e-6);
  EXPECT_NEAR(diagonal[1], 1 / (0.5 + 2), 1e-6);
  EXPECT_NEAR(diagonal[2], 2, 1e-6);
  ASSERT_EQ(ritz("fisher diag G.npy --damping 0.5 --dtype float64 --out w.npy --quiet").code, 0);
  EXPECT_NEAR(load("w.npy")[1], 1 / (0.5 + 2), 1e-15);
}

TEST_F(Fisher, SaysWhatIsWrong) {
  save_known_rows();
  save("short.npy", {4}, std::vector<double>{1, 2, 3, 4}, DType::float64);
  save("nan.npy", {2, 2}, std::vector<double>{1, 2, 3, std::nan("")}, DType::float64);
  save("vector.npy", {3}, std::vector<double>{1, 2, 3}, DType::float64);
  expect_error("fisher ihvp G.npy short.npy", 3, "d = 5");
  expect_error("fisher diag nan.npy", 3, "row 1");
  expect_error("fisher diag vector.npy", 3, "rows [m, d]");
  expect_error("fisher diag missing.npy", 3, "missing.npy");
  expect_error("fisher diag G.npy --damping 0", 2, "--damping");
  expect_error("fisher diag G.npy --block -1", 2, "--block");
  expect_error("fisher diag G.npy --segments 2,2", 3, "segments");
  expect_error("fisher columns G.npy", 2, "--at");
  expect_error("fisher columns G.npy --at 5", 3, "0 to 4");
  expect_error("fisher elements G.npy --at 1", 2, "--at");
  expect_error("fisher elements G.npy --at '1,2;3'", 2, "--at");
  expect_error("fisher elements G.npy --at '0,5'", 3, "0 to 4");
  write("there.npy", "");
  expect_error("fisher diag G.npy --out there.npy", 2, "there.npy");
}

class Prune : public Fisher {
 protected:
  void SetUp() override {
    Fisher::SetUp();
    // 240 samples of 6 numbers, the label being the largest of the first three.
    std::vector<float> x(240 * 6);
    std::vector<int64_t> y(240);
    for (size_t i = 0; i < 240; ++i) {
      for (size_t j = 0; j < 6; ++j) x[6 * i + j] = std::sin(static_cast<float>(i * i + 7 * j));
      const auto first = x.begin() + static_cast<int64_t>(6 * i);
      y[i] = std::max_element(first, first + 3) - first;
    }
    save("x.npy", {240, 6}, x, DType::float32);
    save("y.npy", {240}, y, DType::int64);
    ASSERT_EQ(ritz("train --model mlp:6-16-3 --data x.npy --labels y.npy --batch 20 --steps 150 "
                   "--out net --quiet")
                  .code,
              0);
  }
  static std::string line(const std::string& more) {
    const std::string m = more.find("--gradients") == more.npos ? " --gradients 8 " : " ";
    return "prune net/model.safetensors --data x.npy --labels y.npy --gradient-batch 20 "
           "--recomputations 3 --quiet" +
           m + more;
  }
  std::map<std::string, std::vector<double>> weights(const std::string& file) const {
    std::map<std::string, std::vector<double>> all;
    for (const auto& array : ritz::io::read_arrays((work() / file).string())) {
      const auto count = static_cast<size_t>(array.count());
      if (array.dtype == DType::uint8) {
        const auto* bytes = reinterpret_cast<const uint8_t*>(array.data);
        all[array.name] = {bytes, bytes + count};
      } else {
        const auto* values = reinterpret_cast<const float*>(array.data);
        all[array.name] = {values, values + count};
      }
    }
    return all;
  }
};

TEST_F(Prune, WritesAModelWithExactZerosMasksAndAReport) {
  for (const std::string method : {"mfac", "woodfisher", "obd", "magnitude"}) {
    const auto outcome = ritz(line(
        "--method " + method + " --sparsity 0.5,0.75 --block 32 --force --out p --json r.json"));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto report = json("r.json");
    ASSERT_EQ(report["steps"].size(), 2u);
    EXPECT_EQ(report["steps"][1]["sparsity"].get<double>(), std::floor(0.75 * 144) / 144);
    EXPECT_EQ(report["steps"][0]["predicted_loss"].is_null(), method == "magnitude");
    EXPECT_TRUE(report["steps"][0]["measured_loss"].is_number());
    EXPECT_TRUE(report["accuracy_before"].is_number());
    EXPECT_EQ(report["layers"].size(), 2u);
    const auto model = weights("p/model.safetensors"), masks = weights("p/masks.safetensors");
    EXPECT_EQ(masks.size(), 2u);
    int64_t zeros = 0;
    for (const auto& [name, mask] : masks) {
      const auto& values = model.at(name);
      ASSERT_EQ(values.size(), mask.size());
      for (size_t i = 0; i < mask.size(); ++i) {
        EXPECT_EQ(mask[i] == 0, values[i] == 0);
        zeros += mask[i] == 0 ? 1 : 0;
      }
    }
    EXPECT_EQ(zeros, 108);
  }
  // The pruned model serves later commands, and training keeps its zeros where asked to.
  EXPECT_EQ(
      ritz("train --checkpoint p/model.safetensors --data x.npy --labels y.npy --optimizer mfac "
           "--opt m=16 --opt sparse=true --lr 1e-4 --batch 20 --steps 5 --out again --quiet")
          .code,
      0);
  const auto before = weights("p/model.safetensors"), after = weights("again/model.safetensors");
  for (const auto& [name, mask] : weights("p/masks.safetensors")) {
    EXPECT_NE(before.at(name), after.at(name));
    for (size_t i = 0; i < mask.size(); ++i) EXPECT_EQ(mask[i] == 0, after.at(name)[i] == 0);
  }
}

TEST_F(Prune, KilledAndResumedGivesTheSameBits) {
  const std::string all =
      "--sparsity 0.5,0.8 --fine-tune-epochs 40 --fine-tune-lr 0.05,0.005 --fine-tune-batch 20 "
      "--checkpoint-every 7 ";
  ASSERT_EQ(ritz(line(all + "--out whole")).code, 0);
  const auto killed = shell("$RITZ " + line(all + "--out half") + R"( &
pid=$!
while ! [ -e half/fine-tune-1/checkpoint.safetensors ]; do sleep 0.005; done
kill -9 $pid
wait $pid)");
  EXPECT_NE(killed.code, 0);
  ASSERT_FALSE(std::filesystem::exists(work() / "half/model.safetensors"))
      << "it ended before it was killed";
  const auto resumed = ritz(line(all + "--out half --resume"));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(weights("half/model.safetensors"), weights("whole/model.safetensors"));
  EXPECT_EQ(ritz::tests::read_text(work() / "half/masks.safetensors"),
            ritz::tests::read_text(work() / "whole/masks.safetensors"));
  EXPECT_EQ(json("half/summary.json")["steps"], json("whole/summary.json")["steps"]);
}

TEST_F(Prune, SaysWhatIsWrong) {
  expect_error(line("--out p"), 2, "--sparsity");
  expect_error(line("--sparsity 1 --out p"), 2, "--sparsity");
  expect_error(line("--sparsity 0.5,0.5 --out p"), 2, "ascending");
  expect_error(line("--sparsity 0.5 --block 0 --out p"), 2, "--block");
  expect_error(line("--sparsity 0.5 --method woodfisher --block none --out p"), 2, "--block");
  expect_error(line("--sparsity 0.5 --damping 0 --out p"), 2, "--damping");
  expect_error(line("--sparsity 0.5,0.9 --schedule zhu-gupta --out p"), 2, "--sparsity");
  expect_error(line("--sparsity 0.5"), 2, "--out");
  expect_error(line("--sparsity 0.5 --gradients 13 --out p"), 3, "found 12");
  expect_error(line("--sparsity 0.999 --of all --out p"), 3, "--sparsity");
  expect_error(line("--sparsity 0.5 --out net"), 2, "--out");
  expect_error("prune missing.safetensors --data x.npy --labels y.npy --sparsity 0.5 --out p", 3,
               "missing.safetensors");
  expect_error("prune y.npy --data x.npy --labels y.npy --sparsity 0.5 --out p", 3, "y.npy");
  ASSERT_EQ(ritz(line("--sparsity 0.5 --out p")).code, 0);
  expect_error(
      "prune p/model.safetensors --data x.npy --labels y.npy --sparsity 0.4 --gradients 8 "
      "--gradient-batch 20 --out q",
      3, "the network's own, 0.5");
  const auto fewer = ritz(line("--sparsity 0.5 --gradients 13 --allow-fewer --out r --json -"));
  EXPECT_EQ(fewer.code, 0);
  EXPECT_EQ(nlohmann::json::parse(fewer.out)["gradients"], 12);
}

TEST_F(Prune, GrowsSparsityByZhuAndGuptasCubic) {
  ASSERT_EQ(ritz(line("--method magnitude --sparsity 0.9 --schedule zhu-gupta --prunings 3 --out z "
                      "--json z.json"))
                .code,
            0);
  const auto steps = json("z.json")["steps"];
  ASSERT_EQ(steps.size(), 3u);
  for (size_t t = 1; t <= 3; ++t) {
    const double left = 1 - static_cast<double>(t) / 3;
    const double target = 0.9 - 0.9 * left * left * left;
    EXPECT_NEAR(steps[t - 1]["sparsity"].get<double>(), target, 1.0 / 144);
  }
}

}  // namespace
