public final class Run { public static void main(String[] a) {} }
