// without libtorch
#include "ritz/io/csv.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ritz/base/error.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using namespace ritz::test;

TEST(Csv, HeadersQuotesBlanksAndNan) {
  const CsvTable table =
      parse_csv(bytes_of("\xef\xbb\xbft, \"a,\"\"b\"\r\n1, +2.5\r\n\r\n,\"-1e-3\"\r\n"), "x.csv");
  EXPECT_EQ(table.columns, (std::vector<std::string>{"t", "a,\"b"}));
  EXPECT_EQ(table.values.shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(doubles(table.values)[1], 2.5);
  EXPECT_TRUE(std::isnan(doubles(table.values)[2]));
  EXPECT_EQ(doubles(table.values)[3], -1e-3);
  EXPECT_EQ(doubles(csv_column(table, "t", "x.csv"))[0], 1);
}

TEST(Csv, FirstLineOfRitzIsANoteAndNoRow) {
  const CsvTable table = parse_csv(bytes_of("# ritz design space=hermite\r\nx,y\n1,2\n"), "x.csv");
  EXPECT_EQ(table.note, "design space=hermite");
  EXPECT_EQ(table.columns, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(table.values.shape, (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(parse_csv(bytes_of("x,y\n1,2\n"), "x.csv").note.empty());
  EXPECT_THROW((void)parse_csv(bytes_of("1\n# ritz late\n"), "x.csv"), ritz::DataError);
}

TEST(Csv, RaggedRowsAndWordsNameTheirLine) {
  for (const char* text : {"1,2\n3\n", "1,2\n3,4,5\n", "a,b\n\n1,x\n"}) {
    try {
      (void)parse_csv(bytes_of(text), "x.csv");
      FAIL() << text;
    } catch (const ritz::DataError& error) {
      EXPECT_NE(std::string(error.what()).find("line"), std::string::npos);
    }
  }
}

TEST(Csv, NumbersReadBackToTheSameBits) {
  const TemporaryFolder folder;
  const std::vector<double> values = {0.1,  1.0 / 3,     5e-324, 1.7976931348623157e308,
                                      -0.0, std::nan("")};
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{6, 1}, {2, 3}}) {
    ritz::AtomicFile file(folder / "x.csv", true);
    write_csv(file, {of_doubles("", shape, values)});
    file.commit();
    const CsvTable table = parse_csv(open_bytes(folder / "x.csv"), "x.csv");
    EXPECT_EQ(table.values.shape, shape);
    for (size_t i = 0; i < values.size(); ++i) {
      const double got = doubles(table.values)[i];
      EXPECT_TRUE(std::isnan(values[i]) ? std::isnan(got) : std::memcmp(&got, &values[i], 8) == 0)
          << i;
    }
  }
  ritz::AtomicFile file(folder / "inf.csv");
  EXPECT_THROW(write_csv(file, {of_doubles("", {1}, {INFINITY})}), ritz::DataError);
}

std::string written(const std::vector<Array>& arrays) {
  const TemporaryFolder folder;
  ritz::AtomicFile file(folder / "x.csv");
  write_csv(file, arrays);
  file.commit();
  return read_text(folder / "x.csv");
}

TEST(Csv, SeveralArraysBecomeNamedColumns) {
  EXPECT_EQ(written({of_doubles("t", {2}, {0, 1}), of_doubles("u", {2, 2}, {1, 2, 3, 4})}),
            "t,u_0,u_1\n0,1,2\n1,3,4\n");
}

TEST(Csv, NanIsAnEmptyCellAndARowOfNothingElseIsNoBlankLine) {
  const double nan = std::nan("");
  EXPECT_EQ(written({of_doubles("", {2, 2}, {nan, 1, 2, nan})}), ",1\n2,\n");
  EXPECT_EQ(written({of_doubles("", {3, 1}, {1, nan, 2})}), "1\n\"\"\n2\n");
}

TEST(Csv, NamesThatNeedItAreQuotedAndReadBack) {
  // A comma, quotes, spaces that reading would trim, a number (else no header line), nothing.
  const std::vector<std::string> names = {"a,b", "say \"x\"", " c", "12", "nan", "plain"};
  std::vector<Array> arrays;
  for (const std::string& name : names) arrays.push_back(of_doubles(name, {1}, {1}));
  const std::string text = written(arrays);
  EXPECT_EQ(text, "\"a,b\",\"say \"\"x\"\"\",\" c\",\"12\",\"nan\",plain\n1,1,1,1,1,1\n");
  EXPECT_EQ(parse_csv(bytes_of(text), "x.csv").columns, names);
}

}  // namespace
