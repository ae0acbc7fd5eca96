@main
enum Hutong {
    static func main() {}
}
