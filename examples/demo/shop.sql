-- A small shop. Keys of one and of two columns, an enum, numeric, jsonb, an array, moments.
CREATE SCHEMA shop;
CREATE TYPE shop.status AS ENUM ('placed', 'paid', 'shipped');
CREATE TABLE shop.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE shop.products (
    sku text PRIMARY KEY,
    price numeric(10, 2) NOT NULL,
    stock integer NOT NULL,
    tags text[] NOT NULL
);
CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES shop.customers,
    status shop.status NOT NULL DEFAULT 'placed',
    placed timestamptz NOT NULL DEFAULT clock_timestamp(),
    shipping jsonb
);
CREATE TABLE shop.items (
    order_id bigint REFERENCES shop.orders ON DELETE CASCADE,
    sku text REFERENCES shop.products,
    quantity integer NOT NULL,
    price numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, sku)
);
INSERT INTO shop.customers (name) SELECT 'customer ' || n FROM generate_series(1, 20000) n;
INSERT INTO shop.products
    SELECT 'sku-' || n, n * 0.99, 1000, ARRAY['tag ' || n % 7, 'tag ' || n % 11] FROM generate_series(1, 500) n;
INSERT INTO shop.orders (customer_id) SELECT 1 + n % 20000 FROM generate_series(1, current_setting('shop.orders')::integer) n;
INSERT INTO shop.items
    SELECT o.id, 'sku-' || 1 + (o.id * n) % 500, n, 9.99 FROM shop.orders o, generate_series(1, 2) n
    ON CONFLICT DO NOTHING;
