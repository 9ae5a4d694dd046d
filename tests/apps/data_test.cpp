// without libtorch
#include <cmath>

#include "ritz/io/array_file.h"
#include "tests/apps/program.h"

namespace {

using ritz::io::DType;

class Data : public ritz::tests::ProgramTest {
 protected:
  template <typename T>
  ritz::io::Array array(const std::string& name, std::vector<int64_t> shape, DType dtype,
                        const std::vector<T>& values) {
    auto made = ritz::io::make_array(name, std::move(shape), dtype);
    std::copy(values.begin(), values.end(), reinterpret_cast<T*>(ritz::io::mutable_data(made)));
    return made;
  }
  std::string path(const std::string& name) const { return (work() / name).string(); }
};

TEST_F(Data, InfoReportsEveryArrayAndLeavesNanOut) {
  ritz::io::write_arrays(path("a.npz"),
                         {array<float>("x", {2, 2}, DType::float32, {1, NAN, -0.1f, 3}),
                          array<int64_t>("n", {3}, DType::int64, {INT64_MAX, -7, 0})});
  const auto run = ritz("data info a.npz --json r.json");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto arrays = json("r.json")["arrays"];
  ASSERT_EQ(arrays.size(), 2u);
  EXPECT_EQ(arrays[0]["file"], "a.npz");
  EXPECT_EQ(arrays[0]["name"], "x");
  EXPECT_EQ(arrays[0]["shape"], (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(arrays[0]["dtype"], "float32");
  EXPECT_EQ(static_cast<float>(arrays[0]["min"].get<double>()), -0.1f)
      << "reads back to the same bits";
  EXPECT_EQ(arrays[0]["nan"], 1);
  EXPECT_EQ(arrays[1]["max"], INT64_MAX) << "no rounding through double";
  EXPECT_EQ(arrays[1]["min"], -7);
  EXPECT_NE(run.out.find("float32"), std::string::npos);
}

TEST_F(Data, InfoOfInfinityAndOfNothingIsNull) {
  ritz::io::write_arrays(path("a.npy"), {array<double>("", {2}, DType::float64, {INFINITY, 1})});
  ritz::io::write_arrays(path("b.npy"), {array<double>("", {1}, DType::float64, {NAN})});
  ASSERT_EQ(ritz("data info a.npy b.npy --json r.json").code, 0);
  const auto arrays = json("r.json")["arrays"];
  EXPECT_TRUE(arrays[0]["max"].is_null());
  EXPECT_EQ(arrays[0]["min"], 1);
  EXPECT_TRUE(arrays[1]["min"].is_null());
  EXPECT_EQ(arrays[1]["nan"], 1);
}

TEST_F(Data, InfoLoadsNoLibtorch) {
  write("a.csv", "x,y\n1,2\n");
  const auto run =
      shell("LD_DEBUG=libs \"$RITZ\" data info a.csv 2>&1 >/dev/null | grep -c libtorch");
  EXPECT_EQ(run.out, "0\n");
}

TEST_F(Data, ConvertKeepsDtypesAndNames) {
  ritz::io::write_arrays(path("a.npz"), {array<float>("x", {2, 2}, DType::float32, {1, 2, 3, 4}),
                                         array<uint8_t>("k", {3}, DType::uint8, {7, 8, 9})});
  ASSERT_EQ(ritz("data convert a.npz b.safetensors").code, 0);
  ASSERT_EQ(ritz("data convert b.safetensors c.h5").code, 0);
  const auto arrays = ritz::io::list_arrays(path("c.h5"));
  ASSERT_EQ(arrays.size(), 2u);
  for (const auto& one : arrays)
    EXPECT_EQ(one.dtype, one.name == "x" ? DType::float32 : DType::uint8);
}

TEST_F(Data, ConvertNamesWhatHasNoName) {
  ritz::io::write_arrays(path("a.npy"), {array<double>("", {2}, DType::float64, {1, 2})});
  ASSERT_EQ(ritz("data convert a.npy b.npz").code, 0);
  EXPECT_EQ(ritz::io::list_arrays(path("b.npz"))[0].name, "data");
}

TEST_F(Data, ConvertRefusesToOverwriteAndToGuess) {
  write("a.csv", "1,2\n3,4\n");
  write("b.npy", "old");
  expect_error("data convert a.csv b.npy", 2, "b.npy");
  EXPECT_EQ(ritz::tests::read_text(work() / "b.npy"), "old");
  EXPECT_EQ(ritz("data convert a.csv b.npy --force").code, 0);
  expect_error("data convert a.csv c.xyz", 2, "c.xyz");
  expect_error("data convert missing.npy c.npy", 3, "missing.npy");
  expect_error("data convert . c.npy", 3, ".");
}

TEST_F(Data, ConvertReadsAndWritesPipes) {
  EXPECT_EQ(shell("printf '1,2\\n3,4\\n' | \"$RITZ\" data convert - -").out, "1,2\n3,4\n");
}

TEST_F(Data, CorruptFilesAreBadInputInOneLine) {
  write("short.npy", "\x93NUMPY");
  write("empty.npz", "");
  write("junk.safetensors", std::string(64, '\xff'));
  write("junk.h5", "not hdf5");
  write("junk.mat", "not matlab");
  write("junk.png", "not png");
  write("words.csv", "a,b\n1,2\n3,x\n");
  for (const char* name : {"short.npy", "empty.npz", "junk.safetensors", "junk.h5", "junk.mat",
                           "junk.png", "words.csv"}) {
    expect_error(std::string("data info ") + name, 3, name);
  }
}

TEST_F(Data, InterruptedRunExits130AndWritesNothing) {
  const auto run = shell(
      "mkfifo pipe\n"
      "\"$RITZ\" data convert - out.npy <pipe &\n"
      "exec 3>pipe\n"
      "printf '1,2\\n' >&3; sleep 0.3; kill -TERM $!; sleep 0.2\n"
      "exec 3>&-\n"
      "wait $!");
  EXPECT_EQ(run.code, 130) << run.err;
  EXPECT_FALSE(std::filesystem::exists(work() / "out.npy"));
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
}

TEST_F(Data, FashionMnistIsWrittenAsAFolderOfIdx) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "no dataset-fashion-mnist";
  ASSERT_EQ(ritz("data fashion-mnist --out f").code, 0);
  const auto images = ritz::io::read_array(path("f/train-images-idx3-ubyte"));
  EXPECT_EQ(images.shape, (std::vector<int64_t>{60000, 28, 28}));
  EXPECT_EQ(ritz::io::read_array(path("f/t10k-labels-idx1-ubyte")).shape,
            (std::vector<int64_t>{10000}));
  expect_error("data fashion-mnist --out f", 2, "f/");
  expect_error("data fashion-mnist --out g --from nowhere", 3, "dataset-fashion-mnist");
}

TEST_F(Data, MakePutsTheTruthBesideIt) {
  ASSERT_EQ(ritz("data make spiked-wigner --size 31 --spikes 20,-9 --sigma 0.5 --batch 4 --seed 3 "
                 "--out w.npy")
                .code,
            0);
  const auto truth = json("w.truth.json");
  EXPECT_EQ(truth["generator"], "spiked-wigner");
  EXPECT_EQ(truth["seed"], 3);
  // s^2 = sigma^2 P / b; lambda + s^2 / lambda.
  EXPECT_NEAR(truth["lambda_1"].get<double>(), 20 + 0.25 * 31 / 4 / 20, 1e-12);
  EXPECT_EQ(ritz::io::read_array(path("w.npy")).shape, (std::vector<int64_t>{31, 31}));
  const auto first = ritz::tests::read_text(work() / "w.npy");
  ASSERT_EQ(ritz("data make spiked-wigner --size 31 --spikes 20,-9 --sigma 0.5 --batch 4 --seed 3 "
                 "--threads 1 "
                 "--force --out w.npy")
                .code,
            0);
  EXPECT_EQ(ritz::tests::read_text(work() / "w.npy"), first) << "the same seed gives the same file";
  expect_error("data make spiked-wigner --size 31 --out w.npy", 2, "w.npy");
  expect_error("data make spiked-wigner --size 0 --out v.npy", 2, "--size");
  expect_error("data make spiked-wigner --size 1 --out v.npy", 3, "spikes");
  expect_error("data make spiked-wishart --batch -1 --out v.npy", 2, "--batch");
  expect_error("data make nonsense --out v.npy", 2, "spiked-wigner");
}

}  // namespace
